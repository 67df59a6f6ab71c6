// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/watcher.h"
#include "habanalabs/chipnode.h"
#include "habanalabs/openladder.h"
#include "temporarydir.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>

using hl::ErrorCode;
using hl::kernel::ChipKind;
using hl::kernel::OpenState;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

// A made-up sysfs tree.
class Tree {
public:
    fs::path add(const std::string &address, const std::string &id)
    {
        const fs::path device = root / "bus/pci/devices" / address;
        fs::create_directories(device);
        write(device / "vendor", "0x1da3");
        write(device / "device", id);
        write(device / "class", "0x120000");
        return device;
    }
    void bind(const fs::path &device, const std::string &driver)
    {
        fs::create_directories(root / "bus/pci/drivers" / driver);
        fs::create_directory_symlink(root / "bus/pci/drivers" / driver, device / "driver");
    }
    static void write(const fs::path &file, const std::string &text) { std::ofstream(file) << text << '\n'; }

    hl::test::TemporaryDir directory;
    fs::path root = directory.path();
};

OpenState state()
{
    return {.device = "accel0 (Gaudi2, 0000:4d:00.0)",
            .node = "/dev/accel/accel0",
            .status = "Operational",
            .access = {.node = "/dev/accel/accel0",
                       .present = true,
                       .driven = true,
                       .group = 105,
                       .mode = 0660,
                       .group_name = "render",
                       .user = {.uid = 1000, .name = "alice", .groups = {1000}}}};
}

bool says(const std::string &text, const char *words)
{
    return text.find(words) != std::string::npos;
}

} // namespace

TEST(KernelNode, OfTheAccelGeneration)
{
    Tree tree;
    const fs::path device = tree.add("0000:4d:00.0", "0x1020");
    tree.bind(device, "habanalabs");
    fs::create_directories(device / "accel/accel7");
    fs::create_directories(device / "accel/accel_controlD7");
    Tree::write(device / "status", "In reset");
    Tree::write(device / "device_type", "GAUDI2C");
    Tree::write(device / "cpucp_ver", "emulated-gaudi2 1.0");
    Tree::write(device / "module_id", "3");
    Tree::write(device / "numa_node", "1");

    const auto chips = hl::kernel::find_chips(tree.root);
    ASSERT_EQ(chips.size(), 1u);
    const auto &chip = chips[0];
    EXPECT_EQ(chip.name(), "accel7 (Gaudi2C, 0000:4d:00.0)");
    EXPECT_EQ(chip.compute_node(), "/dev/accel/accel7");
    EXPECT_EQ(chip.driver, "habanalabs");
    EXPECT_EQ(chip.status, "In reset");
    EXPECT_EQ(chip.kind(), ChipKind::Gaudi2);
    EXPECT_EQ(chip.stand_in(), "EMU");
    EXPECT_EQ(chip.pci.module, 3);
    EXPECT_EQ(chip.numa_node, 1);
    EXPECT_EQ(chip.driver_version, "") << "the kernel's own driver has none";
    EXPECT_FALSE(chip.pci.legacy);
}

TEST(KernelNode, OfTheOldGeneration)
{
    Tree tree;
    const fs::path device = tree.add("0000:21:00.0", "0x1000");
    tree.bind(device, "habanalabs");
    fs::create_directories(tree.root / "module/habanalabs");
    fs::create_directory_symlink(tree.root / "module/habanalabs", tree.root / "bus/pci/drivers/habanalabs/module");
    Tree::write(tree.root / "module/habanalabs/version", "1.16.2-1a2b3c");
    Tree::write(device / "numa_node", "-1");
    fs::create_directories(device / "habanalabs/hl2");
    fs::create_directories(device / "habanalabs/hl_controlD2");
    Tree::write(device / "habanalabs/hl2/status", "operational");
    Tree::write(device / "habanalabs/hl2/device_type", "GAUDI");
    Tree::write(device / "habanalabs/hl2/cpucp_ver", "1.9.0");
    Tree::write(device / "habanalabs/hl2/module_id", "5");

    const auto chip = hl::kernel::find_chip(tree.root, "0000:21:00.0");
    ASSERT_TRUE(chip);
    EXPECT_TRUE(chip->pci.legacy);
    EXPECT_EQ(chip->name(), "hl2 (Gaudi, 0000:21:00.0)");
    EXPECT_EQ(chip->compute_node(), "/dev/hl2");
    EXPECT_EQ(chip->status, "operational");
    EXPECT_EQ(chip->pci.module, 5);
    EXPECT_EQ(chip->driver_version, "1.16.2-1a2b3c");
    EXPECT_EQ(chip->numa_node, std::nullopt);
    EXPECT_EQ(chip->kind(), ChipKind::Gaudi);
    EXPECT_EQ(chip->stand_in(), "HW");
}

TEST(KernelNode, WithoutADriverAndOfAnUnknownKind)
{
    Tree tree;
    tree.add("0000:01:00.0", "0x1060");
    const auto chip = hl::kernel::find_chip(tree.root, "0000:01:00.0");
    ASSERT_TRUE(chip);
    EXPECT_EQ(chip->name(), "0000:01:00.0 (Gaudi (0x1060))");
    EXPECT_TRUE(chip->compute_node().empty());
    EXPECT_FALSE(chip->kind());
    EXPECT_FALSE(hl::kernel::find_chip(tree.root, "0000:02:00.0"));
}

TEST(KernelLadder, EveryErrnoHasItsError)
{
    const struct {
        int err;
        ErrorCode code;
        const char *cause;
        const char *remedy;
    } rows[] = {
        {EBUSY, ErrorCode::DeviceBusy, "a process that cannot be seen", "end that process"},
        {EAGAIN, ErrorCode::DeviceUnusable, "does not come out of its reset", "kernel log"},
        {EACCES, ErrorCode::DevicePermission, "group render, mode 660", "usermod -aG render alice"},
        {EPERM, ErrorCode::DevicePermission, "may not open /dev/accel/accel0", "container"},
        {EINVAL, ErrorCode::DeviceUnusable, "FOP_UNSIGNED_OFFSET", "docs/kernel-driver.md"},
        {ENOENT, ErrorCode::DeviceUnusable, "no such file", "--device"},
        {ENODEV, ErrorCode::DeviceNotFound, "is gone", "removed"},
        {ENXIO, ErrorCode::DeviceNotFound, "is gone", "removed"},
        {EMFILE, ErrorCode::FdLimit, "no descriptor", "ulimit"},
        {ENFILE, ErrorCode::FdLimit, "no descriptor", "ulimit"},
        {ENOMEM, ErrorCode::DeviceUnusable, "could not be opened", "device=sim"},
    };
    for (const auto &row : rows) {
        const hl::Error error = hl::kernel::open_error(row.err, state());
        EXPECT_EQ(error.code, row.code) << row.err;
        EXPECT_EQ(error.sys_errno, row.err);
        EXPECT_EQ(error.operation, "open /dev/accel/accel0");
        EXPECT_EQ(error.device, state().device);
        EXPECT_TRUE(says(error.cause, row.cause)) << error.cause;
        EXPECT_TRUE(says(error.remedy, row.remedy)) << error.remedy;
    }
}

TEST(KernelLadder, ABusyDeviceNamesItsHolder)
{
    OpenState held = state();
    held.holders = "process 12 (python3)";
    EXPECT_TRUE(says(hl::kernel::open_error(EBUSY, held).cause, "owned by process 12 (python3)"));
    held.status = "In reset";
    const hl::Error waiting = hl::kernel::open_error(EAGAIN, held);
    EXPECT_EQ(waiting.code, ErrorCode::DeviceBusy);
    EXPECT_TRUE(says(waiting.cause, "waits in its reset (\"In reset\") for process 12 (python3)")) << waiting.cause;
}

// hl_device_open answers EPERM to whoever opens a device that is not operational.
TEST(KernelLadder, NotOperationalIsNoMatterOfPermission)
{
    OpenState broken = state();
    broken.status = "Disabled";
    const hl::Error error = hl::kernel::open_error(EPERM, broken);
    EXPECT_EQ(error.code, ErrorCode::DeviceUnusable);
    EXPECT_TRUE(says(error.cause, "\"Disabled\"")) << error.cause;
    EXPECT_EQ(hl::kernel::open_error(EACCES, broken).code, ErrorCode::DevicePermission);
}

TEST(KernelLadder, OnlyWhatPassesIsWaitedForAndNotForEver)
{
    using hl::kernel::try_again;
    OpenState now = state();
    EXPECT_TRUE(try_again(EAGAIN, now, 1900ms));
    EXPECT_FALSE(try_again(EAGAIN, now, 2s));
    for (const char *status : {"In reset", "in reset", "In reset after device release"})
        EXPECT_TRUE(hl::kernel::in_reset(status)) << status;
    for (const char *status : {"Operational", "Needs reset", ""})
        EXPECT_FALSE(hl::kernel::in_reset(status)) << status;
    now.reset_seen = true; // though it is over by now
    EXPECT_TRUE(try_again(EAGAIN, now, 19s));
    EXPECT_FALSE(try_again(EAGAIN, now, 20s));
    now.holders = "process 12 (python3)"; // for whom the reset waits
    EXPECT_TRUE(try_again(EAGAIN, now, 4900ms));
    EXPECT_FALSE(try_again(EAGAIN, now, 5s));
    now = state();
    EXPECT_TRUE(try_again(EBUSY, now, 1900ms)); // nobody seen: a release under way
    EXPECT_FALSE(try_again(EBUSY, now, 2s));
    now.holders = "process 12 (python3)";
    EXPECT_TRUE(try_again(EBUSY, now, 250ms)); // just killed, maybe
    EXPECT_FALSE(try_again(EBUSY, now, 300ms));
    now.held_by_us = true;
    EXPECT_TRUE(try_again(EBUSY, now, 1900ms));
    for (const int err : {EINVAL, EACCES, EPERM, ENOENT, ENODEV, ENXIO, ENOMEM, EMFILE})
        EXPECT_FALSE(try_again(err, state(), 0ms)) << err;
    EXPECT_TRUE(try_again(EINTR, state(), 1h));
}

TEST(KernelEvents, ResetAndUnavailabilityEndTheSession)
{
    EXPECT_TRUE(hl::kernel::ends_session(1 << 2));
    EXPECT_TRUE(hl::kernel::ends_session(1 << 4));
    EXPECT_TRUE(hl::kernel::ends_session(1 << 2 | 1 << 3));
    EXPECT_FALSE(hl::kernel::ends_session(0));
    EXPECT_FALSE(hl::kernel::ends_session(1 << 3 | 1 << 8));
    EXPECT_EQ(hl::kernel::events_text(1 << 2 | 1 << 3 | 1ull << 40), "device reset, copy timed out, event 40");
}
