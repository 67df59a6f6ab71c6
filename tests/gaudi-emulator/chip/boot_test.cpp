// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/commsdescriptor.h"
#include "chip/fakedriver.h"
#include "chip/gaudi2layout.h"

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

TEST(CommsDescriptor, CrcIsTheCommonOne)
{
    constexpr std::string_view check = "123456789";
    EXPECT_EQ(CommsDescriptor::crc32(std::as_bytes(std::span(check))), 0xCBF43926u);
}

TEST(CommsDescriptor, HeaderSaysWhatTheDriverChecks)
{
    const CommsDescriptor descriptor(firmware_layout, "Preboot x");
    const auto word = [&](size_t at) {
        uint32_t value = 0;
        std::memcpy(&value, descriptor.bytes().data() + at, sizeof value);
        return value;
    };
    EXPECT_EQ(word(0), 0x4843444Du);
    EXPECT_EQ(word(4), CommsDescriptor::crc32(descriptor.bytes().subspan(16)));
    EXPECT_EQ(word(8) & 0xffff, 1264u);
    EXPECT_EQ(word(16 + 16 * 4), psoc::boot_status);
    EXPECT_EQ(word(16 + 24 * 4), psoc::kmd_msg_to_cpu);
    EXPECT_EQ(word(16 + 32 * 4), psoc::halt_irq);
}

TEST(Boot, WalksFromPrebootToLinux)
{
    FakeDriver driver;
    EXPECT_EQ(driver.reg(cpuif::hw_state), 0u);
    EXPECT_EQ(driver.reg(psoc::dev_sts0) & 0x80010000, 0x80010000u) << "not the dynamic loader";
    EXPECT_EQ(driver.reg(psoc::boot_err0), 0u);
    driver.boot();
    EXPECT_EQ(driver.chip->journal().fault_count(), 0u);
}

TEST(Boot, NamesItsVersionAsTheDriverParsesIt)
{
    FakeDriver driver;
    const std::vector<std::byte> image(64, std::byte{1});
    const auto descriptor = driver.load(image);
    const std::string version(reinterpret_cast<const char *>(descriptor.data()) + 376);
    EXPECT_EQ(version.find("Preboot"), 0u);
    EXPECT_NE(version.find("-1.10.0-fw-42.0.1-sec-3 "), std::string::npos) << version;
    EXPECT_NE(version.find("emulated-gaudi"), std::string::npos);
}

TEST(Boot, AnImageThatHasNotArrivedIsRefused)
{
    FakeDriver driver;
    uint32_t answer = 0;
    driver.load(std::vector<std::byte>(64), &answer);
    EXPECT_EQ(answer, 4u); // COMMS_STS_VALID_ERR
    EXPECT_EQ(driver.reg(psoc::boot_status), 16u);
}

TEST(Boot, ExecutingNothingIsAnError)
{
    FakeDriver driver;
    driver.comms(3, 64, true);
    EXPECT_EQ(driver.comms(5, 0, true) >> 28, 3u);
    EXPECT_EQ(driver.reg(psoc::boot_status), 16u);
}

TEST(Boot, AMessageIsNotTakenForAnImage)
{
    FakeDriver driver;
    std::vector<std::byte> message(1280);
    constexpr uint32_t magic = 0x48434D03;
    std::memcpy(message.data(), &magic, sizeof magic);
    message[16] = std::byte{1};
    driver.load(message);
    EXPECT_EQ(driver.reg(psoc::boot_status), 16u);
    driver.boot();
}

TEST(Boot, UnknownCommandsAreErrors)
{
    FakeDriver driver;
    EXPECT_EQ(driver.comms(9, 0, true) >> 28, 3u);
    EXPECT_EQ(driver.chip->journal().fault_count(), 1u);
}

TEST(Boot, ResetByCommsGoesBackToPreboot)
{
    FakeDriver driver;
    const std::vector<std::byte> image(64, std::byte{1});
    driver.load(image);
    ASSERT_TRUE(driver.poll_reg(psoc::boot_status, 15));
    driver.reg(cpuif::hw_state, 1);
    driver.reg(psoc::kmd_msg_to_cpu, 6u << 27);
    ASSERT_TRUE(driver.poll_reg(psoc::boot_status, 16));
    EXPECT_EQ(driver.reg(cpuif::hw_state), 0u);
    driver.boot();
}

Gaudi2::Settings with_fault(std::string_view order)
{
    Gaudi2::Settings settings;
    EXPECT_TRUE(settings.faults.add(order));
    return settings;
}

TEST(BootFaults, PrebootReportsItsError)
{
    FakeDriver driver(with_fault("firmware-fail=preboot"));
    EXPECT_EQ(driver.reg(psoc::boot_err0), 0x80000001u);
}

TEST(BootFaults, TheBootFitIsRefused)
{
    FakeDriver driver(with_fault("firmware-fail=boot-fit"));
    uint32_t answer = 0;
    driver.load(std::vector<std::byte>(64, std::byte{1}), &answer);
    EXPECT_EQ(answer, 4u);
    EXPECT_EQ(driver.reg(psoc::boot_status), 16u);
    EXPECT_EQ(driver.reg(psoc::boot_err0), 0x80000002u);
}

TEST(BootFaults, LinuxNeverStarts)
{
    FakeDriver driver(with_fault("firmware-fail=linux"));
    const std::vector<std::byte> image(64, std::byte{1});
    driver.load(image);
    driver.load(image);
    EXPECT_EQ(driver.reg(psoc::boot_status), 7u);
}

} // namespace
} // namespace gaudiemu::chip
