// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlallocator.h"

#include "backends/sim/simcontrol.h"
#include "memorytesting.h"

#include <gst/allocators/gstdmabuf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

using namespace hltest;

namespace {

constexpr gsize frame_bytes = 50000;

class AllocatorTest : public DeviceTest {
protected:
    GstPtr<GstHlAllocator> allocator(hl::Placement placement) { return gst_hl_allocator_new(device_, placement); }
    static GstPtr<GstMemory> alloc(const GstPtr<GstHlAllocator> &from, gsize size = frame_bytes)
    {
        auto memory = gst_hl_allocator_alloc_memory(from.get(), size);
        EXPECT_TRUE(memory.has_value()) << memory.error().details();
        return memory ? *memory : GstPtr<GstMemory>();
    }
    static uint64_t count(const GstPtr<GstHlAllocator> &of, hl::CopyKind kind)
    {
        return gst_hl_allocator_totals(of.get())[kind].count;
    }
    static Bytes read(GstMemory *memory)
    {
        GstMapInfo map;
        if (!gst_memory_map(memory, &map, GST_MAP_READ))
            return {};
        Bytes out(map.data, map.data + map.size);
        gst_memory_unmap(memory, &map);
        return out;
    }
    static bool write(GstMemory *memory, const Bytes &bytes)
    {
        GstMapInfo map;
        if (!gst_memory_map(memory, &map, GST_MAP_WRITE))
            return false;
        std::memcpy(map.data, bytes.data(), bytes.size());
        gst_memory_unmap(memory, &map);
        return true;
    }
};

TEST_F(AllocatorTest, MemoriesAreDmabufsOfExactSizeWithSlack)
{
    for (const auto placement : {hl::Placement::Host, hl::Placement::Device}) {
        const auto from = allocator(placement);
        for (const gsize size : {gsize{1}, gsize{3844}, gsize{4096}, frame_bytes}) {
            const auto memory = alloc(from, size);
            EXPECT_TRUE(gst_is_dmabuf_memory(memory.get()));
            EXPECT_TRUE(gst_is_hl_memory(memory.get()));
            gsize offset = 1, maxsize = 0;
            EXPECT_EQ(gst_memory_get_sizes(memory.get(), &offset, &maxsize), size);
            EXPECT_EQ(offset, 0u);
            EXPECT_EQ(maxsize % 4096, 0u);
            EXPECT_GE(maxsize, size + 4096);
            EXPECT_EQ(gst_hl_memory_get(memory.get())->placement, placement);
            EXPECT_EQ(gst_hl_memory_device(memory.get()), device_);
        }
    }
}

TEST_F(AllocatorTest, HostMemoryIsOneMappingOfTheExportedPages)
{
    const auto from = allocator(hl::Placement::Host);
    const auto memory = alloc(from);
    const Bytes bytes = pattern(frame_bytes, 1);
    ASSERT_TRUE(write(memory.get(), bytes));
    GstMapInfo first, second;
    ASSERT_TRUE(gst_memory_map(memory.get(), &first, GST_MAP_READ));
    ASSERT_TRUE(gst_memory_map(memory.get(), &second, GST_MAP_READ));
    EXPECT_EQ(first.data, second.data);
    gst_memory_unmap(memory.get(), &second);
    gst_memory_unmap(memory.get(), &first);

    void *seen = ::mmap(nullptr, frame_bytes, PROT_READ, MAP_SHARED, gst_fd_memory_get_fd(memory.get()), 0);
    ASSERT_NE(seen, MAP_FAILED);
    EXPECT_EQ(std::memcmp(seen, bytes.data(), frame_bytes), 0);
    ::munmap(seen, frame_bytes);
    EXPECT_EQ(count(from, hl::CopyKind::Download) + count(from, hl::CopyKind::Upload), 0u);
}

TEST_F(AllocatorTest, DeviceMemoryCannotBeMmapped)
{
    const auto memory = alloc(allocator(hl::Placement::Device));
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, gst_fd_memory_get_fd(memory.get()), 0), MAP_FAILED);
}

std::atomic<uint64_t> observed_downloads{0};
std::atomic<uint64_t> observed_uploads{0};

TEST_F(AllocatorTest, ReadMapShowsWhatTheDeviceHas)
{
    const auto from = allocator(hl::Placement::Device);
    const auto memory = alloc(from);
    gst_hl_set_map_observer([](GstMemory *, hl::CopyKind kind, uint64_t bytes) noexcept {
        (kind == hl::CopyKind::Download ? observed_downloads : observed_uploads) += bytes;
    });
    for (unsigned round = 1; round <= 2; ++round) {
        const Bytes bytes = pattern(frame_bytes, round);
        device_write(*device_, *gst_hl_memory_get(memory.get()), bytes);
        EXPECT_EQ(read(memory.get()), bytes);
        EXPECT_EQ(count(from, hl::CopyKind::Download), round);
    }
    gst_hl_set_map_observer(nullptr);
    EXPECT_EQ(gst_hl_allocator_totals(from.get())[hl::CopyKind::Download].bytes, 2 * frame_bytes);
    EXPECT_EQ(observed_downloads, 2 * frame_bytes);
    EXPECT_EQ(observed_uploads, 0u);
    EXPECT_EQ(count(from, hl::CopyKind::Upload), 0u);
}

TEST_F(AllocatorTest, WriteMapReachesTheDevice)
{
    const auto from = allocator(hl::Placement::Device);
    const auto memory = alloc(from);
    const Bytes bytes = pattern(frame_bytes, 3);
    ASSERT_TRUE(write(memory.get(), bytes));
    EXPECT_EQ(device_read(*device_, *gst_hl_memory_get(memory.get()), frame_bytes), bytes);
    EXPECT_EQ(count(from, hl::CopyKind::Upload), 1u);
    // Nothing was there to be kept.
    EXPECT_EQ(count(from, hl::CopyKind::Download), 0u);
}

// Nobody tells of a peer's writes: it is the one who filled what nobody else did.
TEST_F(AllocatorTest, KnowsWhatItDidNotFillItself)
{
    const auto from = allocator(hl::Placement::Device);
    const auto fresh = alloc(from);
    EXPECT_TRUE(gst_hl_memory_filled_by_peer(fresh.get()));
    gst_hl_memory_peer_written(fresh.get());
    EXPECT_TRUE(gst_hl_memory_filled_by_peer(fresh.get()));
    EXPECT_EQ(read(fresh.get()).size(), frame_bytes);
    EXPECT_TRUE(gst_hl_memory_filled_by_peer(fresh.get())) << "reading is no filling";

    const auto copied = GstPtr<GstMemory>::adopt(gst_memory_copy(fresh.get(), 0, -1));
    EXPECT_FALSE(gst_hl_memory_filled_by_peer(copied.get())) << "our DMA engine did";
    ASSERT_TRUE(write(fresh.get(), pattern(frame_bytes, 3)));
    EXPECT_FALSE(gst_hl_memory_filled_by_peer(fresh.get())) << "the CPU did";
    ASSERT_TRUE(gst_hl_memory_make_reusable(fresh.get()));
    EXPECT_FALSE(gst_hl_memory_filled_by_peer(fresh.get())) << "its first life goes on";
    ASSERT_TRUE(gst_hl_memory_make_reusable(fresh.get()));
    EXPECT_TRUE(gst_hl_memory_filled_by_peer(fresh.get()));

    const auto host = allocator(hl::Placement::Host);
    EXPECT_FALSE(gst_hl_memory_filled_by_peer(alloc(host).get()));
}

TEST_F(AllocatorTest, PartialWriteKeepsTheRest)
{
    const auto from = allocator(hl::Placement::Device);
    const auto memory = alloc(from);
    Bytes bytes = pattern(frame_bytes, 4);
    device_write(*device_, *gst_hl_memory_get(memory.get()), bytes);
    gst_hl_memory_device_written(memory.get());
    const Bytes head = pattern(100, 5);
    ASSERT_TRUE(write(memory.get(), head));
    std::memcpy(bytes.data(), head.data(), head.size());
    EXPECT_EQ(device_read(*device_, *gst_hl_memory_get(memory.get()), frame_bytes), bytes);
    EXPECT_EQ(count(from, hl::CopyKind::Download), 1u);
}

TEST_F(AllocatorTest, NestedMapsAndPartsShareOneDownload)
{
    const auto from = allocator(hl::Placement::Device);
    const auto memory = alloc(from);
    const Bytes bytes = pattern(frame_bytes, 6);
    device_write(*device_, *gst_hl_memory_get(memory.get()), bytes);
    const auto part = GstPtr<GstMemory>::adopt(gst_memory_share(memory.get(), 1000, 2000));
    EXPECT_TRUE(gst_is_dmabuf_memory(part.get()));
    EXPECT_EQ(gst_hl_memory_get(part.get())->offset, gst_hl_memory_get(memory.get())->offset + 1000);
    EXPECT_EQ(gst_hl_memory_get(part.get())->size, 2000u);
    GstMapInfo whole, piece;
    ASSERT_TRUE(gst_memory_map(memory.get(), &whole, GST_MAP_READ));
    ASSERT_TRUE(gst_memory_map(part.get(), &piece, GST_MAP_READ));
    EXPECT_EQ(piece.data, whole.data + 1000);
    EXPECT_EQ(std::memcmp(piece.data, bytes.data() + 1000, 2000), 0);
    gst_memory_unmap(memory.get(), &whole);
    EXPECT_EQ(std::memcmp(piece.data, bytes.data() + 1000, 2000), 0) << "pages went with the first unmap";
    gst_memory_unmap(part.get(), &piece);
    EXPECT_EQ(count(from, hl::CopyKind::Download), 1u);
    EXPECT_EQ(count(from, hl::CopyKind::Upload), 0u);
}

TEST_F(AllocatorTest, ShareOfTheRestEndsWithTheFrame)
{
    const auto memory = alloc(allocator(hl::Placement::Host));
    const auto rest = GstPtr<GstMemory>::adopt(gst_memory_share(memory.get(), 1000, -1));
    EXPECT_EQ(gst_memory_get_sizes(rest.get(), nullptr, nullptr), frame_bytes - 1000);
}

TEST_F(AllocatorTest, OpenWriteMapKeepsTheDeviceAway)
{
    const auto memory = alloc(allocator(hl::Placement::Device));
    GstMapInfo map;
    ASSERT_TRUE(gst_memory_map(memory.get(), &map, GST_MAP_READ));
    EXPECT_TRUE(gst_hl_memory_get(memory.get()).has_value());
    gst_memory_unmap(memory.get(), &map);
    ASSERT_TRUE(gst_memory_map(memory.get(), &map, GST_MAP_READWRITE));
    const auto refused = gst_hl_memory_get(memory.get());
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, hl::ErrorCode::MemoryMapped);
    gst_memory_unmap(memory.get(), &map);
    EXPECT_TRUE(gst_hl_memory_get(memory.get()).has_value());
}

TEST_F(AllocatorTest, StrictModeRefusesMapsOfDeviceFramesOnly)
{
    const Setenv strict("HL_STRICT", "1");
    const auto from = allocator(hl::Placement::Device);
    EXPECT_FALSE(write(alloc(from).get(), pattern(10, 0)));
    EXPECT_TRUE(write(alloc(allocator(hl::Placement::Host)).get(), pattern(10, 0)));
    EXPECT_EQ(count(from, hl::CopyKind::Upload) + count(from, hl::CopyKind::Download), 0u);
}

TEST_F(AllocatorTest, StrictModeCanBeSet)
{
    const auto from = allocator(hl::Placement::Device);
    const auto memory = alloc(from);
    gst_hl_allocator_set_strict(from.get(), true);
    EXPECT_FALSE(write(memory.get(), pattern(10, 0)));
    gst_hl_allocator_set_strict(from.get(), false);
    EXPECT_TRUE(write(memory.get(), pattern(10, 0)));
}

TEST_F(AllocatorTest, CopiesStayOnTheDevice)
{
    const auto from = allocator(hl::Placement::Device);
    gst_hl_allocator_set_strict(from.get(), true); // a map would be seen
    auto memory = alloc(from);
    const Bytes bytes = pattern(frame_bytes, 7);
    device_write(*device_, *gst_hl_memory_get(memory.get()), bytes);
    const auto part = GstPtr<GstMemory>::adopt(gst_memory_copy(memory.get(), 100, 300));
    ASSERT_TRUE(part);
    EXPECT_EQ(device_read(*device_, *gst_hl_memory_get(part.get()), 300),
              Bytes(bytes.begin() + 100, bytes.begin() + 400));

    const auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new());
    gst_buffer_append_memory(buffer.get(), memory.release());
    const auto copy = GstPtr<GstBuffer>::adopt(gst_buffer_copy_deep(buffer.get()));
    ASSERT_TRUE(copy);
    GstMemory *copied = gst_buffer_peek_memory(copy.get(), 0);
    EXPECT_TRUE(gst_is_hl_memory(copied));
    EXPECT_NE(inode(copied), inode(buffer.get()));
    EXPECT_EQ(gst_hl_memory_get(copied)->placement, hl::Placement::Device);
    EXPECT_EQ(device_read(*device_, *gst_hl_memory_get(copied), frame_bytes), bytes);
}

TEST_F(AllocatorTest, HostCopiesAreCountedAsCpuCopies)
{
    const auto from = allocator(hl::Placement::Host);
    const auto memory = alloc(from);
    const Bytes bytes = pattern(frame_bytes, 8);
    ASSERT_TRUE(write(memory.get(), bytes));
    const auto copy = GstPtr<GstMemory>::adopt(gst_memory_copy(memory.get(), 0, -1));
    EXPECT_EQ(read(copy.get()), bytes);
    EXPECT_NE(inode(copy.get()), inode(memory.get()));
    EXPECT_EQ(count(from, hl::CopyKind::CpuCopy), 1u);
}

TEST_F(AllocatorTest, CopiesOutsideTheMemoryFail)
{
    const auto memory = alloc(allocator(hl::Placement::Device));
    EXPECT_EQ(gst_memory_copy(memory.get(), 10, frame_bytes), nullptr);
    EXPECT_EQ(gst_memory_copy(memory.get(), frame_bytes + 1, -1), nullptr);
}

TEST_F(AllocatorTest, GenericAllocationGivesOurMemoryWithItsPrefix)
{
    const auto from = allocator(hl::Placement::Host);
    GstAllocationParams params;
    gst_allocation_params_init(&params);
    params.prefix = 16;
    params.padding = 32;
    const auto buffer =
        GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(GST_ALLOCATOR(from.get()), frame_bytes, &params));
    ASSERT_TRUE(buffer);
    gsize offset = 0, maxsize = 0;
    EXPECT_EQ(gst_buffer_get_sizes(buffer.get(), &offset, &maxsize), frame_bytes);
    EXPECT_EQ(offset, 16u);
    EXPECT_GE(maxsize, frame_bytes + 48);
    EXPECT_TRUE(gst_is_hl_memory(gst_buffer_peek_memory(buffer.get(), 0)));
}

TEST_F(AllocatorTest, RecycledMemoryKeepsDescriptorAndQdataAndRegainsItsSize)
{
    const auto from = allocator(hl::Placement::Device);
    auto memory = alloc(from);
    const ino_t identity = inode(memory.get());
    const GQuark cache = g_quark_from_static_string("importer-cache");
    gst_mini_object_set_qdata(GST_MINI_OBJECT(memory.get()), cache, GINT_TO_POINTER(42), nullptr);
    gst_memory_resize(memory.get(), 10, 20);
    memory.reset();
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open + 1) << "resting memory lost its dma-buf";
    memory = alloc(from);
    EXPECT_EQ(inode(memory.get()), identity);
    EXPECT_EQ(gst_mini_object_get_qdata(GST_MINI_OBJECT(memory.get()), cache), GINT_TO_POINTER(42));
    gsize offset = 1;
    EXPECT_EQ(gst_memory_get_sizes(memory.get(), &offset, nullptr), frame_bytes);
    EXPECT_EQ(offset, 0u);
    EXPECT_NE(inode(alloc(from, 3 * frame_bytes).get()), identity);
}

TEST_F(AllocatorTest, DropFreesRestingMemoriesAndThoseInUseLater)
{
    const auto from = allocator(hl::Placement::Device);
    auto in_use = alloc(from);
    alloc(from).reset();
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open + 2);
    gst_hl_allocator_drop_recycled(from.get());
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open + 1);
    in_use.reset();
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open);
}

TEST_F(AllocatorTest, MemoryOutlivesItsAllocator)
{
    auto from = allocator(hl::Placement::Device);
    auto memory = alloc(from);
    alloc(from).reset(); // one at rest, which the allocator frees
    from.reset();
    const Bytes bytes = pattern(frame_bytes, 9);
    ASSERT_TRUE(write(memory.get(), bytes));
    EXPECT_EQ(read(memory.get()), bytes);
}

TEST_F(AllocatorTest, MemoryKeepsTheDeviceOpen)
{
    std::weak_ptr<hl::Device> watch;
    GstPtr<GstMemory> memory;
    {
        auto other = std::make_shared<DeviceWithFaults>(device_);
        watch = other;
        memory = alloc(gst_hl_allocator_new(std::move(other), hl::Placement::Device));
    }
    EXPECT_FALSE(watch.expired());
    memory.reset();
    EXPECT_TRUE(watch.expired());
}

TEST_F(AllocatorTest, MemoryWhoseDescriptorSomebodyHoldsIsReleasedLater)
{
    const auto from = allocator(hl::Placement::Device);
    auto memory = alloc(from);
    const int held = ::dup(gst_fd_memory_get_fd(memory.get()));
    memory.reset();
    gst_hl_allocator_drop_recycled(from.get());
    EXPECT_GT(device_->usage().device_bytes, before_.device_bytes);
    ::close(held);
    alloc(from, 10).reset();
    gst_hl_allocator_drop_recycled(from.get());
    EXPECT_EQ(device_->usage().device_bytes, before_.device_bytes);
}

TEST_F(AllocatorTest, RecyclingWaitsForReadersAndDropsWhatTheyKeep)
{
    auto faulty = std::make_shared<DeviceWithFaults>(device_);
    const auto from = gst_hl_allocator_new(faulty, hl::Placement::Device);
    int waits = 0;
    faulty->on_wait_readers = [&](int, hl::Deadline) -> hl::Result<bool> {
        ++waits;
        return true;
    };
    auto memory = alloc(from);
    EXPECT_EQ(waits, 0) << "nobody can have fenced a fresh memory";
    const ino_t first = inode(memory.get());
    memory.reset();
    memory = alloc(from);
    EXPECT_EQ(waits, 1);
    EXPECT_EQ(inode(memory.get()), first);
    memory.reset();
    faulty->on_wait_readers = [&](int, hl::Deadline) -> hl::Result<bool> {
        return hl::fail(hl::ErrorCode::FenceTimeout, "wait", "a reader hangs");
    };
    memory = alloc(from);
    EXPECT_NE(inode(memory.get()), first);
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open + 1);
}

TEST_F(AllocatorTest, LostDeviceLeavesErrorsAndNoLeak)
{
    const auto from = allocator(hl::Placement::Device);
    auto memory = alloc(from);
    alloc(from).reset();
    hl::sim::lose(*device_);
    EXPECT_EQ(gst_hl_memory_get(memory.get()).error().code, hl::ErrorCode::MemoryStale);
    EXPECT_TRUE(read(memory.get()).empty());
    const auto refused = gst_hl_allocator_alloc_memory(from.get(), frame_bytes);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, hl::ErrorCode::DeviceLost);
    ASSERT_TRUE(device_->recover().has_value());
    EXPECT_FALSE(gst_hl_memory_get(memory.get()).has_value());
    const auto fresh = alloc(from);
    EXPECT_TRUE(write(fresh.get(), pattern(frame_bytes, 1)));
}

TEST_F(AllocatorTest, HostPagesStayReadableAfterALoss)
{
    const auto memory = alloc(allocator(hl::Placement::Host));
    const Bytes bytes = pattern(frame_bytes, 2);
    ASSERT_TRUE(write(memory.get(), bytes));
    hl::sim::lose(*device_);
    EXPECT_EQ(read(memory.get()), bytes);
    ASSERT_TRUE(device_->recover().has_value());
}

TEST_F(AllocatorTest, ForeignMemoryIsNamedSo)
{
    const auto memory = GstPtr<GstMemory>::adopt(gst_allocator_alloc(nullptr, 100, nullptr));
    EXPECT_FALSE(gst_is_hl_memory(memory.get()));
    EXPECT_EQ(gst_hl_memory_device(memory.get()), nullptr);
    EXPECT_EQ(gst_hl_memory_get(memory.get()).error().code, hl::ErrorCode::MemoryForeign);
}

// Faults are read when the device is opened, so these open their own.
class AllocatorFaultTest : public testing::Test {
protected:
    static std::shared_ptr<hl::Device> open_with(const char *faults)
    {
        const Setenv environment("HL_SIM_FAULTS", faults);
        return open_sim();
    }
};

TEST_F(AllocatorFaultTest, ExhaustedMemoryAndDescriptorsAreErrorsWithoutALeak)
{
    struct {
        const char *faults;
        hl::ErrorCode code;
    } const cases[] = {{"alloc:1=ENOMEM", hl::ErrorCode::MemoryFull},
                       {"hbm-full", hl::ErrorCode::MemoryFull},
                       {"export:1=EMFILE", hl::ErrorCode::FdLimit},
                       {"export:1=EIO", hl::ErrorCode::MemoryExport}};
    for (const auto &c : cases) {
        const auto device = open_with(c.faults);
        const auto from = gst_hl_allocator_new(device, hl::Placement::Device);
        const auto refused = gst_hl_allocator_alloc_memory(from.get(), frame_bytes);
        ASSERT_FALSE(refused.has_value()) << c.faults;
        EXPECT_EQ(refused.error().code, c.code) << c.faults;
        EXPECT_EQ(device->usage().device_bytes, 0u) << c.faults;
    }
}

TEST_F(AllocatorFaultTest, LostCpuWriteBreaksTheFrame)
{
    const auto device = open_with("copy:1=EINVAL");
    const auto from = gst_hl_allocator_new(device, hl::Placement::Device);
    auto memory = *gst_hl_allocator_alloc_memory(from.get(), frame_bytes);
    GstMapInfo map;
    ASSERT_TRUE(gst_memory_map(memory.get(), &map, GST_MAP_WRITE));
    gst_memory_unmap(memory.get(), &map); // the upload fails
    const auto refused = gst_hl_memory_get(memory.get());
    ASSERT_FALSE(refused.has_value()) << "the device would read stale pixels";
    EXPECT_EQ(refused.error().code, hl::ErrorCode::CopyFailed);
    EXPECT_EQ(gst_hl_allocator_totals(from.get())[hl::CopyKind::Upload].count, 0u);
    const ino_t broken = inode(memory.get());
    memory.reset();
    memory = *gst_hl_allocator_alloc_memory(from.get(), frame_bytes);
    EXPECT_NE(inode(memory.get()), broken);
}

TEST_F(AllocatorFaultTest, FailedDownloadFailsTheMap)
{
    const auto device = open_with("copy:1=EINVAL");
    const auto from = gst_hl_allocator_new(device, hl::Placement::Device);
    const auto owner = GstPtr<GstElement>::sink(gst_element_factory_make("fakesink", nullptr));
    const auto bus = GstPtr<GstBus>::adopt(gst_bus_new());
    gst_element_set_bus(owner.get(), bus.get());
    gst_hl_allocator_set_owner(from.get(), owner.get());
    const auto memory = *gst_hl_allocator_alloc_memory(from.get(), frame_bytes);
    GstMapInfo map;
    EXPECT_FALSE(gst_memory_map(memory.get(), &map, GST_MAP_READ));
    ASSERT_TRUE(gst_memory_map(memory.get(), &map, GST_MAP_READ)) << "the second copy has no fault";
    gst_memory_unmap(memory.get(), &map);
    const auto told = GstPtr<GstMessage>::adopt(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR));
    ASSERT_TRUE(told) << "who maps can only say that it could not";
    const GstStructure *details = nullptr;
    gst_message_parse_error_details(told.get(), &details);
    EXPECT_STREQ(gst_structure_get_string(details, "code"), "HL-DMA-001");
    gst_element_set_bus(owner.get(), nullptr);
}

} // namespace
