// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The played node keeps the rules of the kernel's driver that hl-bridge and the double meet (Linux 7.2
// drivers/accel/habanalabs). What goes through it is what goes to a real one: open(), ioctl(), close().
#include "../unit/temporarydir.h"
#include "backends/kernel/commandbuffers.h"
#include "backends/kernel/ioctldriver.h"
#include "node/playednode.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <xf86drm.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using hl::UniqueFd;
using hl::dbl::PlayedNode;
using hl::kernel::IoctlDriver;
using hl::test::ScopedEnv;
using namespace std::chrono_literals;

namespace habanalabs = hl::habanalabs;
namespace uapi = hl::habanalabs::uapi;

namespace {

UniqueFd open_compute()
{
    return UniqueFd(::open(PlayedNode::compute_path, O_RDWR | O_CLOEXEC));
}

UniqueFd open_control()
{
    return UniqueFd(::open(PlayedNode::control_path, O_RDWR | O_CLOEXEC));
}

class Node : public testing::Test {
protected:
    void open()
    {
        UniqueFd node = open_compute();
        ASSERT_TRUE(node) << errno;
        fd = node.get();
        driver = std::make_unique<IoctlDriver>(std::move(node), uapi::accel_ioctls);
    }
    [[nodiscard]] uint64_t map_page()
    {
        handle = driver->allocate(PlayedNode::page).value_or(0);
        return driver->map_device(handle).value_or(0);
    }

    ScopedEnv faults{"HL_NODE_FAULTS", ""};
    int fd = -1;
    uint64_t handle = 0;
    std::unique_ptr<IoctlDriver> driver;
};

} // namespace

// habanalabs_drv.c hl_device_open, hl_device_open_ctrl.
TEST_F(Node, HasOneUserAndManyWatchers)
{
    open();
    EXPECT_FALSE(open_compute());
    EXPECT_EQ(errno, EBUSY);
    const UniqueFd first = open_control(), second = open_control();
    EXPECT_EQ(habanalabs::open_stats({.fd = first.get()}).value().is_compute_ctx_active, 1);
    UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    driver.reset();
    EXPECT_FALSE(open_compute()) << "a dup is the same file";
    copy.reset();
    EXPECT_EQ(habanalabs::open_stats({.fd = second.get()}).value().is_compute_ctx_active, 0);
    open();
}

// habanalabs_drv.c: DRM_IOCTL_VERSION; habanalabs_ioctl.c hl_ioctl_control: INFO alone.
TEST_F(Node, SaysWhoseItIs)
{
    open();
    const std::unique_ptr<drmVersion, decltype(&drmFreeVersion)> version(drmGetVersion(fd), drmFreeVersion);
    ASSERT_TRUE(version);
    EXPECT_EQ(std::string(version->name, static_cast<size_t>(version->name_len)), "habanalabs");
    const UniqueFd control = open_control();
    EXPECT_EQ(habanalabs::device_status({.fd = control.get()}), uapi::status_operational);
    EXPECT_EQ(habanalabs::export_memory({.fd = control.get()}, 0, 4096, 0).error_or(0), ENOTTY);
    EXPECT_EQ(driver->hw_info().value().dram_page_size, PlayedNode::page);
    EXPECT_EQ(driver->create_buffer(4096).error_or(0), ENOTTY) << "not played";
}

// gaudi2.c: pages of 768 MiB; memory.c free_device_memory, unmap_device_va.
TEST_F(Node, GivesHbmInPages)
{
    open();
    EXPECT_EQ(driver->allocate(0).error_or(0), EINVAL);
    const uint64_t address = map_page();
    EXPECT_NE(address, 0u);
    EXPECT_EQ(driver->allocate(2 * PlayedNode::page + 1).error_or(0), ENOMEM);
    const auto one_byte = driver->allocate(1);
    ASSERT_TRUE(one_byte);
    EXPECT_EQ(driver->allocate(PlayedNode::page + 1).error_or(0), ENOMEM) << "one byte took a page";
    EXPECT_EQ(driver->free(handle).error_or(0), EINVAL) << "mapped";
    EXPECT_EQ(driver->map_device(777).error_or(0), EINVAL);
    EXPECT_EQ(driver->unmap(address + 4096).error_or(0), EINVAL);
    EXPECT_TRUE(driver->unmap(address));
    EXPECT_TRUE(driver->free(handle));
    EXPECT_EQ(driver->free(handle).error_or(0), EINVAL);
    EXPECT_TRUE(driver->free(*one_byte));
}

// memory.c validate_export_params, unmap_device_va, hl_export_dmabuf; no mmap op.
TEST_F(Node, ExportsWholePagesOfAMapping)
{
    open();
    const uint64_t base = map_page();
    const auto refused = [&](uint64_t address, uint64_t bytes, uint64_t offset) {
        return driver->export_memory(address, bytes, offset).error_or(0) == EINVAL;
    };
    EXPECT_TRUE(refused(base + 4096, 4096, 0)) << "no start of a mapping";
    EXPECT_TRUE(refused(base, 0, 0));
    EXPECT_TRUE(refused(base, 100, 0));
    EXPECT_TRUE(refused(base, 4096, 100));
    EXPECT_TRUE(refused(base, 8192, PlayedNode::page - 4096));
    EXPECT_TRUE(refused(base, 4096, UINT64_MAX - 4095));
    auto exported = driver->export_memory(base, 4096, PlayedNode::page - 4096);
    ASSERT_TRUE(exported);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, exported->get(), 0), MAP_FAILED);
    EXPECT_EQ(::fcntl(exported->get(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(driver->open_files(exported->get()), 1u); // dma-buf.c dma_buf_show_fdinfo
    {
        const UniqueFd copy(::fcntl(exported->get(), F_DUPFD_CLOEXEC, 0));
        EXPECT_EQ(driver->open_files(exported->get()), 2u);
        EXPECT_EQ(driver->open_files(fd), std::nullopt) << "no dma-buf";
    }
    EXPECT_EQ(driver->open_files(exported->get()), 1u);
    EXPECT_EQ(driver->unmap(base).error_or(0), EINVAL) << "exported";
    driver.reset();
    EXPECT_FALSE(open_compute()) << "the dma-buf keeps the file";
    exported->reset();
    open();
}

// memory.c pin_host_memory; the address keeps its place in the page.
TEST_F(Node, PinsWhatIsThere)
{
    open();
    std::vector<std::byte> bytes(10000);
    const auto at = driver->map_host(bytes);
    ASSERT_TRUE(at);
    EXPECT_EQ(*at % 4096, reinterpret_cast<uintptr_t>(bytes.data()) % 4096);
    EXPECT_TRUE(driver->unmap(*at));
    EXPECT_EQ(driver->map_host({reinterpret_cast<std::byte *>(4096), 4096}).error_or(0), EFAULT);
    EXPECT_EQ(driver->map_host({bytes.data(), 0}).error_or(0), EINVAL);
}

TEST_F(Node, RunsCopies)
{
    open();
    const uint64_t hbm = map_page();
    std::vector<std::byte> bytes(1000, std::byte{7});
    const uint64_t host = driver->map_host(bytes).value();
    auto buffers = hl::kernel::CommandBuffers::create(*driver, hl::kernel::ChipKind::Gaudi2, 1, "node");
    ASSERT_TRUE(buffers);
    const auto run = [&](uint64_t source, uint64_t target, uint32_t size, uint32_t queue) {
        hl::kernel::PacketWriter writer(hl::kernel::ChipKind::Gaudi2, buffers->bytes(0));
        writer.add({.source = source, .target = target, .bytes = size});
        return driver->submit(queue, buffers->filled(0, writer.finish()), 5s);
    };
    const auto down = run(host, hbm + 50, 500, 0);
    ASSERT_TRUE(down);
    EXPECT_EQ(driver->wait(*down, 1s), true);
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    const auto up = run(hbm + 50, host + 500, 500, 4);
    ASSERT_TRUE(up);
    EXPECT_EQ(bytes[499], std::byte{0});
    EXPECT_EQ(bytes[999], std::byte{7});
    EXPECT_EQ(driver->wait(*up + 1, 1s).error_or(0), EINVAL) << "never submitted";
    EXPECT_EQ(run(host, hbm, 500, 1).error_or(0), EINVAL) << "PDMA_0_1 is not enabled";
    EXPECT_EQ(driver->submit(0, {.cb = 1, .bytes = 32, .user = false}, 5s).error_or(0), EINVAL) << "a kernel buffer";
    EXPECT_TRUE(driver->flush_inbound_writes());

    testing::internal::CaptureStderr();
    const auto astray = run(host, hbm + PlayedNode::page - 4, 500, 0);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("reset"), std::string::npos);
    ASSERT_TRUE(astray);
    EXPECT_EQ(driver->wait(*astray, 1s).error_or(0), EIO);
}

// habanalabs_ioctl.c eventfd_register; device.c hl_device_cond_reset.
TEST_F(Node, IsResetOnOrder)
{
    const ScopedEnv lost("HL_NODE_FAULTS", "alloc:1=ENOMEM,lost@export:1");
    open();
    const UniqueFd events(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), control = open_control();
    ASSERT_TRUE(driver->register_events(events.get()));
    EXPECT_EQ(driver->register_events(events.get()).error_or(0), EINVAL) << "one per open";
    EXPECT_EQ(driver->allocate(1).error_or(0), ENOMEM);
    const uint64_t base = map_page();
    EXPECT_EQ(driver->take_events(), 0u);
    EXPECT_EQ(driver->export_memory(base, 4096, 0).error_or(0), EBUSY);
    eventfd_t count = 0;
    EXPECT_EQ(::eventfd_read(events.get(), &count), 0);
    EXPECT_EQ(driver->take_events(), uapi::event_device_reset);
    EXPECT_EQ(driver->take_events(), 0u) << "read and cleared";
    EXPECT_EQ(habanalabs::device_status({.fd = control.get()}), uapi::status_in_reset);
    EXPECT_EQ(driver->unmap(base).error_or(0), EBUSY);
    EXPECT_FALSE(open_compute());
    EXPECT_EQ(errno, EAGAIN);
    driver.reset();
    EXPECT_EQ(habanalabs::device_status({.fd = control.get()}), uapi::status_operational);
    open();
}

TEST_F(Node, RefusesMalformedSettings)
{
    const std::vector<std::pair<const char *, const char *>> settings{{"HL_NODE_FAULTS", "alloc:1=stall"},
                                                                      {"HL_NODE_FAULTS", "alloc=EIO"},
                                                                      {"HL_NODE_FAULTS", "nothing:1=EIO"},
                                                                      {"HL_NODE_HBM_PAGES", "0"},
                                                                      {"HL_NODE_HBM_PAGES", "1x"}};
    for (const auto &[name, value] : settings) {
        const ScopedEnv wrong(name, value);
        testing::internal::CaptureStderr();
        EXPECT_FALSE(open_compute()) << value;
        EXPECT_EQ(errno, EINVAL);
        EXPECT_NE(testing::internal::GetCapturedStderr().find(name), std::string::npos);
    }
    const ScopedEnv pages("HL_NODE_HBM_PAGES", "1");
    open();
    EXPECT_EQ(driver->hw_info().value().dram_size, PlayedNode::page);
}

// In a process of its own, for the test below.
TEST_F(Node, DISABLED_IsFree)
{
    open();
}

// With HL_NODE_LOCK other processes are other users; an exported dma-buf is enough to be one.
TEST_F(Node, ExcludesOtherProcessesIfSo)
{
    const hl::test::TemporaryDir directory;
    const ScopedEnv lock("HL_NODE_LOCK", directory / "lock");
    const auto other_opens = [] {
        const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
        return std::system(("'" + self + "' --gtest_also_run_disabled_tests --gtest_filter=Node.DISABLED_IsFree " +
                            ">/dev/null 2>&1")
                               .c_str()) == 0;
    };
    EXPECT_TRUE(other_opens());
    open();
    EXPECT_FALSE(other_opens());
    auto exported = driver->export_memory(map_page(), 4096, 0);
    ASSERT_TRUE(exported);
    driver.reset();
    EXPECT_FALSE(other_opens());
    exported->reset();
    EXPECT_TRUE(other_opens());
}
