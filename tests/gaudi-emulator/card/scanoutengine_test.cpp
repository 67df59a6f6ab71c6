// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scanoutengine.h"

#include "crc32.h"
#include "fakebus.h"
#include "framepainter.h"

#include <gtest/gtest.h>

using namespace gaudiemu;

namespace {

class ScanoutEngineTest : public testing::Test {
protected:
    const Picture picture = *Picture::packed(HL_CARD_XR24, 64, 32);
    FakeBus bus{1 << 20};
    ScanoutEngine engine;
    CardDriver driver{bus, engine};
};

TEST_F(ScanoutEngineTest, AnswersWithTheCrcOfWhatItRead)
{
    FramePainter(picture).paint(3, driver.buffer());
    Crc32 crc;
    crc.add(driver.buffer().first(picture.bytes));
    EXPECT_EQ(driver.get(HL_CARD_ID), HL_SCANOUT_ID);
    driver.describe(picture);
    driver.start();
    driver.queue(7, {{driver.buffer_address(), 101, 0}, {driver.buffer_address() + 101, 8192, 0}});
    ASSERT_TRUE(bus.wait_for_interrupts(1));
    EXPECT_EQ(driver.get(HL_CARD_DONE_COOKIE), 7u);
    EXPECT_EQ(driver.get(HL_CARD_DONE_ERROR), 0u);
    EXPECT_EQ(driver.get(HL_CARD_DONE_CRC), crc.value());
    EXPECT_EQ(driver.get(HL_SCANOUT_FRAMES), 1u);
    driver.buffer()[picture.bytes - 1] ^= std::byte{1};
    driver.set(HL_CARD_DONE_POP, 1);
    driver.queue_whole(8, picture.bytes);
    ASSERT_TRUE(bus.wait_for_interrupts(2));
    EXPECT_EQ(driver.get(HL_CARD_DONE_NUMBER), 1u);
    EXPECT_NE(driver.get(HL_CARD_DONE_CRC), crc.value());
}

TEST_F(ScanoutEngineTest, FollowsPitchesAndOffsets)
{
    auto shape = *Picture::packed(HL_CARD_NV12, 64, 32);
    const uint32_t tight_crc = [&] {
        std::vector<std::byte> frame(shape.bytes);
        FramePainter(shape).paint(9, frame);
        return visible_crc(shape, frame);
    }();
    shape.planes[0].stride = 96;
    shape.planes[1] = {.offset = 4096, .stride = 72, .row_bytes = 64, .rows = 16};
    shape.bytes = 4096 + 72 * 16;
    FramePainter(shape).paint(9, driver.buffer());
    driver.describe(shape);
    driver.start();
    driver.queue_whole(1, shape.bytes);
    ASSERT_TRUE(bus.wait_for_interrupts(1));
    EXPECT_EQ(driver.get(HL_CARD_DONE_CRC), tight_crc);
}

TEST_F(ScanoutEngineTest, ReportsFaults)
{
    driver.describe(picture);
    driver.start();
    driver.queue(1, {{FakeBus::base + bus.memory.size() - 100, static_cast<uint32_t>(picture.bytes), 0}});
    driver.queue_whole(2, picture.bytes - 1);
    ASSERT_TRUE(bus.wait_for_interrupts(2));
    EXPECT_EQ(driver.get(HL_CARD_DONE_ERROR), uint32_t{HL_CARD_ERROR_BUS});
    EXPECT_EQ(driver.get(HL_CARD_DONE_CRC), 0u);
    driver.set(HL_CARD_DONE_POP, 1);
    EXPECT_EQ(driver.get(HL_CARD_DONE_ERROR), uint32_t{HL_CARD_ERROR_STALL});
    EXPECT_EQ(driver.get(HL_SCANOUT_FRAMES), 0u);
}

} // namespace
