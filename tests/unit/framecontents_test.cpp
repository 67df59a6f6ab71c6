// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/framecontents.h"

#include "backends/sim/simcontrol.h"
#include "simtest.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>

namespace hl::test {
namespace {

constexpr uint64_t bytes = 4 * export_page;

TEST(FrameContents, HostPagesAreComparedPageByPage)
{
    ImportFrame frame{.fd = UniqueFd(::memfd_create("frame", MFD_CLOEXEC)), .bytes = bytes};
    ASSERT_EQ(::ftruncate(frame.fd.get(), bytes), 0);
    const auto contents = FrameContents::fill(frame);
    ASSERT_OK(contents);
    EXPECT_EQ(contents->untouched(bytes), bytes);
    EXPECT_EQ(contents->untouched(bytes - 1), bytes - 1);
    ASSERT_EQ(::pwrite(frame.fd.get(), "!", 1, 2 * export_page + 5), 1);
    EXPECT_EQ(contents->untouched(bytes), bytes - export_page);
    EXPECT_EQ(contents->untouched(2 * export_page), 2 * export_page);
}

TEST(FrameContents, AFrameThatCannotBeMappedIsAnError)
{
    const ImportFrame frame{.bytes = bytes};
    EXPECT_CODE(FrameContents::fill(frame), ErrorCode::MemoryExport);
}

TEST(FrameContents, DeviceMemoryIsReadByTheDeviceBehindWhatPeersWrote)
{
    const auto device = open_sim();
    auto memory = OwnedMemory::allocate(device, bytes, Placement::Device);
    ASSERT_OK(memory);
    const ImportFrame frame{.memory = std::move(*memory), .bytes = bytes};
    const auto contents = FrameContents::fill(frame);
    ASSERT_OK(contents);
    const uint64_t flushes = sim::stats(*device).flushes;
    EXPECT_EQ(contents->untouched(bytes), bytes);
    EXPECT_EQ(sim::stats(*device).flushes, flushes + 1);

    const auto other = OwnedMemory::allocate(device, export_page, Placement::Host);
    ASSERT_OK(other);
    const std::array over{CopyRegion{
        .source = other->get(), .target = frame.memory.get().part(export_page, export_page), .row_bytes = export_page}};
    ASSERT_OK(device->copy(over));
    EXPECT_EQ(contents->untouched(bytes), bytes - export_page);
}

} // namespace
} // namespace hl::test
