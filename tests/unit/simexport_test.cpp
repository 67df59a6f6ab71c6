// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"
#include "device/device.h"
#include "fdkeeper.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <format>

using hl::ErrorCode;
using hl::Placement;

TEST(SimExport, ResolvesToTheSameBytes)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4 * 4096, Placement::Device);
    const hl::Memory frame = hbm->part(4096, 8192);
    const auto fd = device->export_dmabuf(frame);
    ASSERT_OK(fd);
    EXPECT_EQ(device->resolve_dmabuf(fd->get()), frame);
    const hl::UniqueFd other(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
    EXPECT_EQ(device->resolve_dmabuf(other.get()), frame);
    EXPECT_TRUE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC);
}

TEST(SimExport, IsNothingAKernelImporterTakes)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device);
    const auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    // dma_buf_get() asks for dma_buf_fops; the dma-buf ioctls are those fops' only.
    dma_buf_sync sync{.flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ};
    EXPECT_EQ(::ioctl(fd->get(), DMA_BUF_IOCTL_SYNC, &sync), -1);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd->get(), 0), MAP_FAILED);
    std::array<char, 1> byte{};
    EXPECT_EQ(::pread(fd->get(), byte.data(), 1, 0), -1);
}

TEST(SimExport, HoldsTheAllocationUntilTheLastClose)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device);
    auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    hl::UniqueFd other(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
    EXPECT_EQ(device->usage().exports_open, 1u);

    const auto refused = device->release(*hbm);
    ASSERT_CODE(refused, ErrorCode::MemoryExported);
    EXPECT_EQ(refused.error().sys_errno, EINVAL);
    EXPECT_NE(refused.error().cause.find(std::format("process {} (", ::getpid())), std::string::npos)
        << refused.error().cause;
    fd->reset();
    EXPECT_CODE(device->release(*hbm), ErrorCode::MemoryExported);
    other.reset();
    EXPECT_EQ(device->usage().exports_open, 0u);
    hbm.release();
    EXPECT_EQ(device->usage().device_bytes, 0u);
}

TEST(SimExport, NamesAnotherProcessThatHoldsIt)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device);
    auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    hl::test::FdKeeper keeper(fd->get());
    fd->reset();
    const auto refused = device->release(*hbm);
    EXPECT_CODE(refused, ErrorCode::MemoryExported);
    EXPECT_NE(refused.error().cause.find(std::format("process {} (", keeper.pid())), std::string::npos)
        << refused.error().cause;
    keeper.end();
    hbm.release();
}

TEST(SimExport, TwoMayAlias)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 8192, Placement::Device);
    const auto whole = device->export_dmabuf(*hbm);
    const auto half = device->export_dmabuf(hbm->part(4096, 4096));
    ASSERT_OK(whole);
    ASSERT_OK(half);
    EXPECT_EQ(device->usage().exports_open, 2u);
    EXPECT_EQ(device->resolve_dmabuf(half->get())->offset, 4096u);
    EXPECT_EQ(device->resolve_dmabuf(whole->get())->size, 8192u);
}

TEST(SimExport, RefusesPartPagesAndRangesOutside)
{
    const auto device = hl::test::open_sim();
    for (const auto placement : {Placement::Device, Placement::Host}) {
        hl::test::Owned memory(device, 8192, placement);
        const hl::Memory bad[] = {memory->part(1, 4096), memory->part(0, 4095), memory->part(0, 0),
                                  memory->part(4096, 8192), memory->part(UINT64_MAX - 4095, 8192)};
        for (const hl::Memory &part : bad) {
            const auto fd = device->export_dmabuf(part);
            ASSERT_CODE(fd, ErrorCode::MemoryRange);
            EXPECT_EQ(fd.error().sys_errno, EINVAL);
        }
    }
}

TEST(SimExport, KnowsItsOwnDescriptorsOnly)
{
    const auto device = hl::test::open_sim();
    const hl::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    EXPECT_CODE(device->resolve_dmabuf(null.get()), ErrorCode::MemoryForeign);
    EXPECT_CODE(device->resolve_dmabuf(-1), ErrorCode::MemoryForeign);

    hl::Memory foreign{.device = device->id() + 1, .generation = 1, .handle = 1, .size = 4096};
    EXPECT_CODE(device->export_dmabuf(foreign), ErrorCode::MemoryForeign);
    EXPECT_CODE(device->release(foreign), ErrorCode::MemoryForeign);
    hl::test::Owned hbm(device, 4096, Placement::Device);
    hl::Memory wrong = *hbm;
    wrong.placement = Placement::Host;
    EXPECT_CODE(device->host_span(wrong), ErrorCode::MemoryForeign);
    // A closed export is forgotten, also when its number is used again.
    hl::UniqueFd fd = std::move(*device->export_dmabuf(*hbm));
    fd.reset();
    EXPECT_CODE(device->resolve_dmabuf(null.get()), ErrorCode::MemoryForeign);
}

TEST(SimExport, HostPagesAreSharedFromByteZero)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 8192, Placement::Host);
    hl::test::fill(device, *host, 3);
    const auto fd = device->export_dmabuf(*host);
    ASSERT_OK(fd);
    EXPECT_EQ(device->resolve_dmabuf(fd->get()), *host);
    void *map = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
    ASSERT_NE(map, MAP_FAILED);
    auto *bytes = static_cast<std::byte *>(map);
    EXPECT_EQ(bytes[5000], hl::test::pattern(3, 5000));
    bytes[0] = std::byte{0x5a};
    EXPECT_EQ((*device->host_span(*host))[0], std::byte{0x5a});
    ::munmap(map, 8192);

    const auto second = device->export_dmabuf(host->part(4096, 4096));
    if (device->info().udmabuf) {
        ASSERT_OK(second);
        EXPECT_EQ(device->resolve_dmabuf(second->get()), host->part(4096, 4096));
    } else {
        EXPECT_CODE(second, ErrorCode::MemoryRange);
    }
}

TEST(SimExport, HostPagesCannotBeShrunk)
{
    const auto device = hl::test::open_sim();
    if (device->info().udmabuf)
        return; // a udmabuf has no size to change
    hl::test::Owned host(device, 8192, Placement::Host);
    const auto fd = device->export_dmabuf(*host);
    ASSERT_OK(fd);
    EXPECT_EQ(::ftruncate(fd->get(), 0), -1);
    EXPECT_EQ(errno, EPERM);
}

TEST(SimExport, HostPagesMayGoBeforeTheirExports)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host);
    const auto fd = device->export_dmabuf(*host);
    ASSERT_OK(fd);
    host.release();
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryForeign);
    EXPECT_EQ(device->usage().host_bytes, 0u);
}

TEST(SimExport, FdLimitIsNamed)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device), host(device, 4096, Placement::Host);
    {
        const hl::test::NoMoreFds none;
        for (const hl::Memory &memory : {*hbm, *host}) {
            const auto fd = device->export_dmabuf(memory);
            EXPECT_CODE(fd, ErrorCode::FdLimit);
            EXPECT_EQ(fd.error().sys_errno, EMFILE);
            EXPECT_NE(fd.error().remedy.find("ulimit"), std::string::npos);
        }
        EXPECT_CODE(device->allocate(4096, Placement::Host), ErrorCode::FdLimit);
    }
    EXPECT_OK(device->export_dmabuf(*hbm));
    EXPECT_EQ(device->usage().exports_open, 0u);
    EXPECT_EQ(device->usage().host_bytes, 4096u);
}

TEST(SimExport, WaitReadersPassesWhatHasNoFences)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device), host(device, 4096, Placement::Host);
    for (const hl::Memory &memory : {*hbm, *host}) {
        const auto fd = device->export_dmabuf(memory);
        ASSERT_OK(fd);
        for (const hl::Deadline until : {hl::Deadline(hl::Clock::now()), hl::no_deadline}) {
            const auto fenced = device->wait_readers(fd->get(), until);
            ASSERT_OK(fenced);
            EXPECT_EQ(*fenced, memory.placement == Placement::Host && device->info().udmabuf);
        }
    }
}

TEST(SimExport, FlushIsCounted)
{
    const auto device = hl::test::open_sim();
    EXPECT_OK(device->flush_inbound_writes());
    EXPECT_OK(device->flush_inbound_writes());
    EXPECT_EQ(hl::sim::stats(*device).flushes, 2u);
    hl::sim::lose(*device);
    EXPECT_CODE(device->flush_inbound_writes(), ErrorCode::DeviceLost);
    EXPECT_EQ(hl::sim::stats(*device).flushes, 2u);
}
