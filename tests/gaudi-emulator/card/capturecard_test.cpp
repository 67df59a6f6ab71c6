// SPDX-License-Identifier: LGPL-2.1-or-later
#include "capturecard.h"
#include "fakebus.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace gaudiemu;

namespace {

class CaptureCardTest : public testing::Test {
protected:
    CaptureCardTest() { driver.set(HL_CAPTURE_INTERVAL, 0); }

    // The frame of the buffer is whole, and what the card says of it.
    void expect_frame(const Picture &shape, std::span<const std::byte> frame, uint32_t number)
    {
        const auto stamp = read_stamp(shape, frame);
        ASSERT_TRUE(stamp);
        EXPECT_EQ(stamp->number, number);
        EXPECT_EQ(stamp->crc, stamped_crc(shape, frame));
        EXPECT_EQ(driver.get(HL_CAPTURE_LOG_NUMBER(number)), number);
        EXPECT_EQ(driver.get(HL_CAPTURE_LOG_CRC(number)), stamp->crc);
    }

    void expect_result(uint32_t cookie, uint32_t error)
    {
        ASSERT_GE(driver.get(HL_CARD_DONE_COUNT), 1u);
        EXPECT_EQ(driver.get(HL_CARD_DONE_COOKIE), cookie);
        EXPECT_EQ(driver.get(HL_CARD_DONE_ERROR), error);
        driver.set(HL_CARD_DONE_POP, 1);
    }

    const Picture picture = *Picture::packed(HL_CARD_YUYV, 64, 32);
    FakeBus bus{1 << 20};
    CaptureCard card;
    CardDriver driver{bus, card};
};

TEST_F(CaptureCardTest, SaysWhoItIs)
{
    EXPECT_EQ(card.identity().vendor, HL_CAPTURE_VENDOR);
    EXPECT_EQ(card.identity().device, HL_CAPTURE_DEVICE);
    ASSERT_EQ(card.bars().size(), 1u);
    EXPECT_EQ(card.bars()[0].size, 4096u);
    EXPECT_TRUE(card.bars()[0].mapped.empty());
    EXPECT_EQ(driver.get(HL_CARD_ID), HL_CAPTURE_ID);
    EXPECT_EQ(card.read(0, HL_CARD_ID, 8), uint64_t{HL_CARD_VERSION} << 32 | HL_CAPTURE_ID);
    EXPECT_EQ(card.read(0, HL_CARD_ID + 1, 1) & 0xff, 'l');
    card.reset();
    EXPECT_EQ(driver.get(HL_CAPTURE_INTERVAL), uint32_t{HL_CAPTURE_INTERVAL_DEFAULT});
    EXPECT_EQ(driver.get(HL_CAPTURE_LAST_NUMBER), ~0u);
}

TEST_F(CaptureCardTest, WritesFramesOfEveryFormat)
{
    uint32_t interrupts = 0;
    for (const uint32_t fourcc :
         {HL_CARD_YUYV, HL_CARD_UYVY, HL_CARD_GREY, HL_CARD_RGB3, HL_CARD_XR24, HL_CARD_NV12, HL_CARD_YU12}) {
        const auto shape = *Picture::packed(fourcc, 131, 33);
        std::ranges::fill(driver.buffer(), std::byte{0xa5});
        driver.describe(shape);
        driver.queue_whole(fourcc, shape.bytes);
        driver.start();
        ASSERT_TRUE(bus.wait_for_interrupts(++interrupts));
        expect_frame(shape, driver.buffer(), 0);
        EXPECT_EQ(driver.buffer()[shape.bytes], std::byte{0xa5});
        expect_result(fourcc, HL_CARD_ERROR_NONE);
        driver.set(HL_CARD_CONTROL, 0);
        ASSERT_TRUE(bus.wait_for_interrupts(++interrupts)); // idle
    }
}

TEST_F(CaptureCardTest, PiecesAtOddAddressesAreOneBuffer)
{
    const uint64_t at = driver.buffer_address();
    const auto rest = static_cast<uint32_t>(picture.bytes) - 1 - 2001 - 13;
    driver.describe(picture);
    driver.queue(1, {{at + 8191, 1, 0}, {at + 20001, 2001, 0}, {at + 3, 13, 0}, {at + 30001, rest, 0}});
    driver.start();
    ASSERT_TRUE(bus.wait_for_interrupts(1));
    std::vector<std::byte> frame;
    const auto append = [&](size_t offset, size_t bytes) {
        const auto piece = driver.buffer().subspan(offset, bytes);
        frame.insert(frame.end(), piece.begin(), piece.end());
    };
    append(8191, 1);
    append(20001, 2001);
    append(3, 13);
    append(30001, rest);
    expect_frame(picture, frame, 0);
    EXPECT_EQ(driver.buffer()[0], std::byte{0});
    EXPECT_EQ(driver.buffer()[2], std::byte{0});
    EXPECT_EQ(driver.buffer()[16], std::byte{0});
}

TEST_F(CaptureCardTest, LargeEntriesGoInChunks)
{
    FakeBus wide(16 << 20);
    CaptureCard other;
    CardDriver its(wide, other);
    const auto shape = *Picture::packed(HL_CARD_XR24, 1920, 1080);
    its.set(HL_CAPTURE_INTERVAL, 0);
    its.describe(shape);
    its.queue_whole(1, shape.bytes);
    its.start();
    ASSERT_TRUE(wide.wait_for_interrupts(1));
    const auto stamp = read_stamp(shape, its.buffer());
    ASSERT_TRUE(stamp);
    EXPECT_EQ(stamp->crc, stamped_crc(shape, its.buffer()));
    EXPECT_EQ(wide.transfers(), 1u + 8u); // the list, and 7.9 MiB
}

TEST_F(CaptureCardTest, PaddingIsLeftAlone)
{
    auto shape = picture;
    shape.planes[0].stride = 130;
    shape.bytes = 130 * 32;
    std::ranges::fill(driver.buffer(), std::byte{0xa5});
    driver.describe(shape);
    driver.queue_whole(1, shape.bytes);
    driver.start();
    ASSERT_TRUE(bus.wait_for_interrupts(1));
    expect_frame(shape, driver.buffer(), 0);
    for (size_t row = 0; row < 32; ++row) {
        EXPECT_EQ(driver.buffer()[130 * row + 128], std::byte{0xa5});
        EXPECT_EQ(driver.buffer()[130 * row + 129], std::byte{0xa5});
    }
}

TEST_F(CaptureCardTest, QueueIsServedInOrder)
{
    driver.describe(picture);
    for (uint32_t cookie = 10; cookie < 15; ++cookie) {
        driver.queue(cookie, {{driver.buffer_address() + 8192 * (cookie - 10), 8192, 0}});
    }
    driver.start();
    ASSERT_TRUE(bus.wait_for_interrupts(5));
    for (uint32_t number = 0; number < 5; ++number) {
        expect_frame(picture, driver.buffer().subspan(8192 * number), number);
        EXPECT_EQ(driver.get(HL_CARD_DONE_NUMBER), number);
        expect_result(10 + number, HL_CARD_ERROR_NONE);
    }
    EXPECT_EQ(driver.get(HL_CARD_DONE_COUNT), 0u);
    EXPECT_EQ(driver.get(HL_CAPTURE_FRAMES), 5u);
    EXPECT_EQ(driver.get(HL_CAPTURE_LAST_NUMBER), 4u);
    EXPECT_EQ(driver.get(HL_CAPTURE_LAST_CRC), read_stamp(picture, driver.buffer().subspan(4 * 8192))->crc);
}

TEST_F(CaptureCardTest, ReportsWhatItCannotReach)
{
    driver.describe(picture);
    const auto bytes = static_cast<uint32_t>(picture.bytes);
    driver.queue(1, {{driver.buffer_address(), 100, 0}, {FakeBus::base - 4096, bytes, 0}});  // no memory there
    driver.queue(2, {{driver.buffer_address(), bytes - 1, 0}});                              // too short
    driver.queue(3, {{driver.buffer_address(), bytes, 0}, {driver.buffer_address(), 0, 0}}); // an empty entry
    driver.set(HL_CARD_SG_LOW, 0x1000);                                                      // no list there
    driver.set(HL_CARD_COOKIE, 4);
    driver.set(HL_CARD_DOORBELL, 1);
    driver.set(HL_CARD_STRIDE(0), 1);
    driver.queue_whole(5, bytes);
    driver.describe(picture);
    driver.queue_whole(6, bytes);
    driver.start();
    ASSERT_TRUE(bus.wait_for_interrupts(6));
    EXPECT_EQ(driver.get(HL_CARD_IRQ_STATUS), uint32_t{HL_CARD_IRQ_DONE});
    expect_result(1, HL_CARD_ERROR_BUS);
    expect_result(2, HL_CARD_ERROR_STALL);
    expect_result(3, HL_CARD_ERROR_STALL);
    expect_result(4, HL_CARD_ERROR_BUS);
    expect_result(5, HL_CARD_ERROR_LAYOUT);
    expect_result(6, HL_CARD_ERROR_NONE);
    expect_frame(picture, driver.buffer(), 5);
    EXPECT_EQ(driver.get(HL_CAPTURE_LOG_NUMBER(0)), ~0u);
}

TEST_F(CaptureCardTest, RefusesMoreThanItsQueueHolds)
{
    driver.set(HL_CARD_IRQ_ENABLE, HL_CARD_IRQ_DONE);
    driver.describe(picture);
    for (uint32_t cookie = 0; cookie < HL_CARD_QUEUE_DEPTH; ++cookie) {
        driver.queue_whole(cookie, picture.bytes);
    }
    EXPECT_EQ(driver.get(HL_CARD_DONE_COUNT), 0u);
    driver.queue_whole(99, picture.bytes);
    ASSERT_TRUE(bus.wait_for_interrupts(1));
    expect_result(99, HL_CARD_ERROR_QUEUE);
}

TEST_F(CaptureCardTest, StopWithDmaInFlight)
{
    driver.describe(picture);
    bus.hold();
    driver.queue(1, {{driver.buffer_address(), 100, 0}, {driver.buffer_address() + 100, 8192, 0}});
    driver.queue_whole(2, picture.bytes);
    driver.start();
    ASSERT_TRUE(bus.wait_until_held());
    driver.set(HL_CARD_CONTROL, 0);
    EXPECT_EQ(driver.get(HL_CARD_STATUS), uint32_t{HL_CARD_STATUS_BUSY});
    EXPECT_EQ(driver.get(HL_CARD_IRQ_STATUS), 0u);
    bus.release();
    ASSERT_TRUE(bus.wait_for_interrupts(1));
    EXPECT_EQ(driver.get(HL_CARD_IRQ_STATUS), uint32_t{HL_CARD_IRQ_IDLE});
    EXPECT_EQ(driver.get(HL_CARD_STATUS), 0u);
    EXPECT_EQ(driver.get(HL_CARD_DONE_COUNT), 0u);
    EXPECT_EQ(bus.transfers(), 2u); // the list and what was held: the rest of the frame and buffer 2 were given up
    // Starts anew, with what is handed over from now on.
    driver.queue_whole(3, picture.bytes);
    driver.start();
    ASSERT_TRUE(bus.wait_for_interrupts(2));
    expect_result(3, HL_CARD_ERROR_NONE);
    expect_frame(picture, driver.buffer(), 0);
}

TEST_F(CaptureCardTest, NothingTouchesTheMachineAfterReset)
{
    driver.describe(picture);
    bus.hold();
    driver.queue_whole(1, picture.bytes);
    driver.start();
    ASSERT_TRUE(bus.wait_until_held());
    std::thread releaser([this] { bus.release(); });
    card.reset();
    releaser.join();
    EXPECT_EQ(driver.get(HL_CARD_STATUS), 0u);
    EXPECT_EQ(driver.get(HL_CARD_FORMAT), 0u);
    EXPECT_EQ(driver.get(HL_CARD_IRQ_STATUS), 0u);
    EXPECT_EQ(bus.transfers(), 2u);
    card.reset();
}

TEST_F(CaptureCardTest, KeepsTheIntervalAndLosesFramesWithoutBuffers)
{
    driver.set(HL_CAPTURE_INTERVAL, 2000);
    driver.describe(picture);
    driver.start();
    const auto begin = CardEngine::Clock::now();
    while (driver.get(HL_CAPTURE_LOST) < 5) {
        ASSERT_LT(CardEngine::Clock::now() - begin, std::chrono::seconds(20));
        std::this_thread::yield();
    }
    driver.queue_whole(1, picture.bytes);
    ASSERT_TRUE(bus.wait_for_interrupts(1));
    const auto elapsed = CardEngine::Clock::now() - begin;
    const uint32_t number = driver.get(HL_CARD_DONE_NUMBER);
    expect_frame(picture, driver.buffer(), number);
    EXPECT_GE(number, 5u);
    EXPECT_GE(elapsed, std::chrono::microseconds(2000) * number);
    EXPECT_GE(driver.get(HL_CAPTURE_LOST), number);
}

} // namespace
