// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlallocator.h"

#include "gsthlcpumaps.h"
#include "gsthlstagedmap.h"

#include <linux/dma-buf.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

GST_DEBUG_CATEGORY_STATIC(hl_allocator_debug);
#define GST_CAT_DEFAULT hl_allocator_debug

namespace {

// v4l2src queues a memory's maxsize while the driver's sizeimage, which may exceed the frame, never reaches the pool.
constexpr gsize slack = 4096;
constexpr std::chrono::milliseconds reader_timeout{500};

// What a root memory is to the device. Lives in the memory's qdata; its destroy notify runs before GstAllocator::free,
// with the descriptor still open, so it only moves the state to the allocator's `dying` list.
struct MemoryState {
    GstHlAllocator *allocator = nullptr; // the root memory's; not owned
    GstMemory *root = nullptr;
    hl::Memory memory;              // maxsize bytes
    std::span<std::byte> host;      // Host placement: the mapping for life
    gsize size = 0;                 // bytes asked for
    guint flags = 0;                // mini-object flags at birth, for recycling
    uint64_t epoch = 0;             // the allocator's at birth
    std::atomic<bool> used = false; // was handed out before
    bool fenced = true;             // its descriptor may carry fences; whoever makes it reusable owns the memory alone
    GstHlStagedMap staged;          // Device placement
};

GQuark state_quark()
{
    static const GQuark quark = g_quark_from_static_string("gst-hl-memory");
    return quark;
}

GstMemory *root_of(GstMemory *memory)
{
    while (memory->parent)
        memory = memory->parent;
    return memory;
}

} // namespace

struct GstHlAllocatorPrivate {
    std::shared_ptr<hl::Device> device;
    hl::Placement placement = hl::Placement::Host;
    hl::HostPages pages = hl::HostPages::Base;
    std::unique_ptr<GstHlCpuMaps> maps;
    GstMemoryShareFunction parent_share = nullptr;

    // Guards what follows. Taken around the containers only, never around device or GStreamer calls.
    std::mutex mutex;
    std::deque<GstMemory *> recycled;   // one reference each; they do not hold the allocator
    std::vector<MemoryState *> dying;   // between qdata's destroy notify and free(); owned
    std::vector<hl::Memory> unreleased; // refused by the device because somebody holds a dup of the descriptor
    uint64_t epoch = 0; // grows where recycled memories are dropped; those in use then are freed when they come back
    GstHlLayoutKey layout;
};

struct _GstHlAllocator {
    GstDmaBufAllocator parent;
    GstHlAllocatorPrivate *priv;
};

G_DEFINE_FINAL_TYPE_WITH_CODE(GstHlAllocator, gst_hl_allocator, GST_TYPE_DMABUF_ALLOCATOR,
                              GST_DEBUG_CATEGORY_INIT(hl_allocator_debug, "hlallocator", 0, "Frames in Gaudi memory"))

namespace {

MemoryState *state_of(GstMemory *memory)
{
    if (!memory || !GST_IS_HL_ALLOCATOR(memory->allocator))
        return nullptr;
    return static_cast<MemoryState *>(gst_mini_object_get_qdata(GST_MINI_OBJECT_CAST(root_of(memory)), state_quark()));
}

// --- life of a memory ---

void state_orphaned(gpointer data)
{
    auto *state = static_cast<MemoryState *>(data);
    GstHlAllocatorPrivate *priv = state->allocator->priv;
    const std::lock_guard lock(priv->mutex);
    priv->dying.push_back(state);
}

// Gives device memory back, or remembers it for a later try.
void release_or_keep(GstHlAllocator *self, const hl::Memory &memory)
{
    auto released = self->priv->device->release(memory);
    if (released)
        return;
    // An importer may hold the descriptor a little longer: v4l2src frees its buffers before it lets the driver detach
    // them.
    const bool waits = released.error().code == hl::ErrorCode::MemoryExported;
    GST_CAT_LEVEL_LOG(GST_CAT_DEFAULT, waits ? GST_LEVEL_INFO : GST_LEVEL_WARNING, self,
                      "device memory is kept for now: %s", released.error().details().c_str());
    const std::lock_guard lock(self->priv->mutex);
    self->priv->unreleased.push_back(memory);
}

void retry_releases(GstHlAllocator *self)
{
    std::vector<hl::Memory> again;
    {
        const std::lock_guard lock(self->priv->mutex);
        if (self->priv->unreleased.empty())
            return;
        again.swap(self->priv->unreleased);
    }
    for (const hl::Memory &memory : again)
        release_or_keep(self, memory);
}

// Mini-object dispose: puts a root memory aside instead of freeing it (as va and libcamera do), so that importers'
// caches in its qdata live on. The memory holds no allocator while it rests, so that the allocator can die.
gboolean memory_disposed(GstMiniObject *object)
{
    GstMemory *memory = GST_MEMORY_CAST(object);
    MemoryState *state = state_of(memory);
    GstHlAllocator *self = state->allocator;
    const bool alive = state->memory.generation == self->priv->device->generation() && !state->staged.broken() &&
                       !state->staged.open();
    {
        const std::lock_guard lock(self->priv->mutex);
        if (!alive || state->epoch != self->priv->epoch)
            return TRUE;
        state->used = true;
        gst_memory_ref(memory);
        self->priv->recycled.push_back(memory);
    }
    gst_object_unref(self);
    return FALSE;
}

void free_recycled(GstHlAllocator *self, std::deque<GstMemory *> &memories)
{
    for (GstMemory *memory : memories) {
        GST_MINI_OBJECT_CAST(memory)->dispose = nullptr;
        gst_object_ref(self); // what the memory's free lets go of
        gst_memory_unref(memory);
    }
    memories.clear();
}

// Goes on in the present epoch, or begins one for another layout.
uint64_t epoch_of(GstHlAllocator *self, const GstHlLayoutKey *layout)
{
    std::deque<GstMemory *> resting;
    uint64_t epoch;
    {
        const std::lock_guard lock(self->priv->mutex);
        if (layout && self->priv->layout != *layout) {
            self->priv->layout = *layout;
            ++self->priv->epoch;
            resting.swap(self->priv->recycled);
        }
        epoch = self->priv->epoch;
    }
    free_recycled(self, resting);
    return epoch;
}

// Takes a resting memory of this maxsize and epoch; transfer full, or nullptr.
GstMemory *pop_recycled(GstHlAllocator *self, gsize maxsize, uint64_t epoch)
{
    const std::lock_guard lock(self->priv->mutex);
    auto &resting = self->priv->recycled;
    const auto at = self->priv->epoch == epoch
                        ? std::ranges::find_if(resting, [=](GstMemory *m) { return m->maxsize == maxsize; })
                        : resting.end();
    if (at == resting.end())
        return nullptr;
    GstMemory *memory = *at;
    resting.erase(at);
    gst_object_ref(self);
    return memory;
}

hl::Result<GstMemory *> wrap(GstHlAllocator *self, const hl::Memory &memory, gsize size, uint64_t epoch)
{
    GstHlAllocatorPrivate *priv = self->priv;
    std::span<std::byte> host;
    if (priv->placement == hl::Placement::Host) {
        auto span = priv->device->host_span(memory);
        if (!span)
            return std::unexpected(std::move(span.error()));
        host = *span;
    }
    auto fd = priv->device->export_dmabuf(memory);
    if (!fd)
        return std::unexpected(std::move(fd.error()));
    // Takes the descriptor over: GstFdAllocator closes it in free().
    GstMemory *out = gst_dmabuf_allocator_alloc(GST_ALLOCATOR_CAST(self), fd->release(), memory.size);
    gst_memory_resize(out, 0, size);

    auto *state = new MemoryState;
    state->allocator = self;
    state->root = out;
    state->memory = memory;
    state->host = host;
    state->size = size;
    state->flags = GST_MINI_OBJECT_FLAGS(out);
    state->epoch = epoch;
    gst_mini_object_set_qdata(GST_MINI_OBJECT_CAST(out), state_quark(), state, state_orphaned);
    GST_MINI_OBJECT_CAST(out)->dispose = memory_disposed;
    return out;
}

hl::Result<GstMemory *> alloc_new(GstHlAllocator *self, gsize size, uint64_t epoch)
{
    GstHlAllocatorPrivate *priv = self->priv;
    retry_releases(self);
    auto memory = priv->device->allocate(gst_hl_allocation_bytes(size), priv->placement, priv->pages);
    if (!memory)
        return std::unexpected(std::move(memory.error()));
    auto out = wrap(self, *memory, size, epoch);
    if (!out)
        release_or_keep(self, *memory);
    return out;
}

// --- CPU maps ---

// Also called for sub-memories: core adds the memory's offset to what is returned, so it is the root's first byte.
gpointer memory_map(GstMemory *memory, GstMapInfo *info, gsize)
{
    MemoryState *state = state_of(memory);
    if (!state)
        return nullptr;
    GstHlCpuMaps &maps = *state->allocator->priv->maps;
    if (state->memory.placement == hl::Placement::Device) {
        const uint64_t bytes = std::max<uint64_t>(state->size, memory->offset + memory->size);
        return maps.map_device(state->staged, state->root, state->memory.part(0, bytes), info->flags);
    }
    maps.sync_host(memory, info->flags, DMA_BUF_SYNC_START);
    return state->host.data();
}

void memory_unmap(GstMemory *memory, GstMapInfo *info)
{
    MemoryState *state = state_of(memory);
    if (!state)
        return;
    GstHlCpuMaps &maps = *state->allocator->priv->maps;
    if (state->memory.placement == hl::Placement::Device)
        maps.unmap_device(state->staged, state->root);
    else
        maps.sync_host(memory, info->flags, DMA_BUF_SYNC_END);
}

// --- copies ---

hl::Status copy_bytes(GstHlAllocator *self, GstMemory *from, gsize offset, gsize size, GstMemory *to)
{
    auto source = gst_hl_memory_get(from);
    if (!source)
        return std::unexpected(std::move(source.error()));
    MemoryState *target = state_of(to);
    if (self->priv->placement == hl::Placement::Host) {
        std::memcpy(target->host.data(), state_of(from)->host.data() + from->offset + offset, size);
        self->priv->maps->count(hl::CopyKind::CpuCopy, size);
        return {};
    }
    const hl::CopyRegion region{
        .source = *source, .target = target->memory, .source_offset = offset, .row_bytes = size};
    auto copied = self->priv->device->copy({&region, 1}, hl::Clock::now() + GstHlStagedMap::timeout);
    if (copied)
        target->staged.device_written();
    return copied;
}

// A copy stays in its placement: a device frame is copied by the device, and the result is one of ours.
GstMemory *memory_copy(GstMemory *memory, gssize offset, gssize size)
{
    MemoryState *state = state_of(memory);
    const gsize at = static_cast<gsize>(offset);
    if (!state || at > memory->size)
        return nullptr;
    const gsize bytes = size < 0 ? memory->size - at : static_cast<gsize>(size);
    if (bytes > memory->size - at)
        return nullptr;
    auto copy = gst_hl_allocator_alloc_memory(state->allocator, bytes);
    if (!copy) {
        GST_ERROR_OBJECT(state->allocator, "copy of %p: %s", memory, copy.error().details().c_str());
        return nullptr;
    }
    if (auto copied = copy_bytes(state->allocator, memory, at, bytes, copy->get()); !copied) {
        GST_ERROR_OBJECT(state->allocator, "copy of %p: %s", memory, copied.error().details().c_str());
        return nullptr;
    }
    return copy->release();
}

// gst_fd_mem_share() of 1.26 takes "the rest" to reach to maxsize, which here lies beyond the frame.
GstMemory *memory_share(GstMemory *memory, gssize offset, gssize size)
{
    const GstMemoryShareFunction share = GST_HL_ALLOCATOR(memory->allocator)->priv->parent_share;
    return share(memory, offset, size < 0 ? static_cast<gssize>(memory->size) - offset : size);
}

} // namespace

static GstMemory *gst_hl_allocator_alloc(GstAllocator *allocator, gsize size, GstAllocationParams *params)
{
    GstHlAllocator *self = GST_HL_ALLOCATOR(allocator);
    const gsize prefix = params ? params->prefix : 0;
    const gsize padding = params ? params->padding : 0;
    auto memory = gst_hl_allocator_alloc_memory(self, prefix + size + padding);
    if (!memory) {
        GST_ERROR_OBJECT(self, "%s", memory.error().details().c_str());
        return nullptr;
    }
    gst_memory_resize(memory->get(), static_cast<gssize>(prefix), size);
    return memory->release();
}

// Closes the descriptor, and only then gives the device memory back: the driver refuses to release what is exported.
static void gst_hl_allocator_free(GstAllocator *allocator, GstMemory *memory)
{
    GstHlAllocator *self = GST_HL_ALLOCATOR(allocator);
    std::unique_ptr<MemoryState> state;
    {
        const std::lock_guard lock(self->priv->mutex);
        const auto at = std::ranges::find(self->priv->dying, memory, &MemoryState::root);
        if (at != self->priv->dying.end()) {
            state.reset(*at);
            self->priv->dying.erase(at);
        }
    }
    GST_ALLOCATOR_CLASS(gst_hl_allocator_parent_class)->free(allocator, memory);
    if (state)
        release_or_keep(self, state->memory);
}

static void gst_hl_allocator_dispose(GObject *object)
{
    gst_hl_allocator_drop_recycled(GST_HL_ALLOCATOR(object));
    G_OBJECT_CLASS(gst_hl_allocator_parent_class)->dispose(object);
}

static void gst_hl_allocator_finalize(GObject *object)
{
    GstHlAllocator *self = GST_HL_ALLOCATOR(object);
    retry_releases(self);
    if (const size_t kept = self->priv->unreleased.size(); kept > 0)
        GST_WARNING_OBJECT(
            self, "%" G_GSIZE_FORMAT " device memories are lost to this process: somebody still holds them", kept);
    delete self->priv;
    G_OBJECT_CLASS(gst_hl_allocator_parent_class)->finalize(object);
}

static void gst_hl_allocator_class_init(GstHlAllocatorClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = gst_hl_allocator_dispose;
    G_OBJECT_CLASS(klass)->finalize = gst_hl_allocator_finalize;
    GST_ALLOCATOR_CLASS(klass)->alloc = gst_hl_allocator_alloc;
    GST_ALLOCATOR_CLASS(klass)->free = gst_hl_allocator_free;
}

static void gst_hl_allocator_init(GstHlAllocator *self)
{
    GstAllocator *allocator = GST_ALLOCATOR_CAST(self);
    self->priv = new GstHlAllocatorPrivate;
    self->priv->parent_share = allocator->mem_share;
    allocator->mem_type = "HlMemory";
    allocator->mem_map_full = memory_map;
    allocator->mem_unmap_full = memory_unmap;
    allocator->mem_copy = memory_copy;
    allocator->mem_share = memory_share;
    GST_OBJECT_FLAG_UNSET(self, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC); // set by GstFdAllocator; alloc() is implemented here
}

GstPtr<GstHlAllocator> gst_hl_allocator_new(std::shared_ptr<hl::Device> device, hl::Placement placement,
                                            hl::HostPages pages)
{
    auto self = GstPtr<GstHlAllocator>::sink(GST_HL_ALLOCATOR(g_object_new(GST_TYPE_HL_ALLOCATOR, nullptr)));
    self->priv->maps = std::make_unique<GstHlCpuMaps>(GST_OBJECT(self.get()), device);
    self->priv->device = std::move(device);
    self->priv->placement = placement;
    self->priv->pages = pages;
    return self;
}

const std::shared_ptr<hl::Device> &gst_hl_allocator_device(GstHlAllocator *self)
{
    return self->priv->device;
}

hl::Placement gst_hl_allocator_placement(GstHlAllocator *self)
{
    return self->priv->placement;
}

hl::HostPages gst_hl_allocator_host_pages(GstHlAllocator *self)
{
    return self->priv->pages;
}

gsize gst_hl_allocation_bytes(gsize size)
{
    return hl::round_to_export_page(size + slack);
}

hl::Result<GstPtr<GstMemory>> gst_hl_allocator_alloc_memory(GstHlAllocator *self, gsize size,
                                                            const GstHlLayoutKey *layout)
{
    const uint64_t epoch = epoch_of(self, layout);
    while (GstMemory *memory = pop_recycled(self, gst_hl_allocation_bytes(size), epoch)) {
        auto resting = GstPtr<GstMemory>::adopt(memory);
        if (auto reusable = gst_hl_memory_make_reusable(memory); !reusable) {
            GST_WARNING_OBJECT(self, "a recycled memory is dropped: %s", reusable.error().details().c_str());
            continue;
        }
        MemoryState *state = state_of(memory);
        state->size = size;
        memory->offset = 0;
        memory->size = size;
        GST_MINI_OBJECT_FLAGS(memory) = state->flags;
        return resting;
    }
    auto memory = alloc_new(self, size, epoch);
    if (!memory)
        return std::unexpected(std::move(memory.error()));
    return GstPtr<GstMemory>::adopt(*memory);
}

void gst_hl_allocator_drop_recycled(GstHlAllocator *self)
{
    std::deque<GstMemory *> resting;
    {
        const std::lock_guard lock(self->priv->mutex);
        ++self->priv->epoch;
        resting.swap(self->priv->recycled);
    }
    self->priv->maps->drop_pages();
    free_recycled(self, resting);
}

void gst_hl_allocator_set_strict(GstHlAllocator *self, bool strict)
{
    self->priv->maps->set_strict(strict);
}

void gst_hl_allocator_set_owner(GstHlAllocator *self, GstElement *owner)
{
    self->priv->maps->set_reporter(owner);
}

void gst_hl_allocator_warn(GstHlAllocator *self, const hl::Error &error)
{
    self->priv->maps->warn(error);
}

hl::CopyTotals gst_hl_allocator_totals(GstHlAllocator *self)
{
    return self->priv->maps->totals();
}

bool gst_is_hl_memory(GstMemory *memory)
{
    return memory && GST_IS_HL_ALLOCATOR(memory->allocator);
}

hl::Result<hl::Memory> gst_hl_memory_get(GstMemory *memory)
{
    MemoryState *state = state_of(memory);
    if (!state)
        return hl::fail(hl::ErrorCode::MemoryForeign, "use memory", "the memory is not a Gaudi frame");
    const auto &device = state->allocator->priv->device;
    if (state->memory.generation != device->generation())
        return hl::fail(hl::ErrorCode::MemoryStale, "use memory", "the frame was allocated before the device was lost",
                        "set the pipeline to READY and back", 0, device->info().name);
    if (auto usable = state->staged.usable(); !usable)
        return std::unexpected(std::move(usable.error()));
    return state->memory.part(memory->offset, memory->size);
}

std::shared_ptr<hl::Device> gst_hl_memory_device(GstMemory *memory)
{
    return gst_is_hl_memory(memory) ? GST_HL_ALLOCATOR(memory->allocator)->priv->device : nullptr;
}

void gst_hl_memory_device_written(GstMemory *memory)
{
    if (MemoryState *state = state_of(memory))
        state->staged.device_written();
}

void gst_hl_memory_peer_written(GstMemory *memory)
{
    if (MemoryState *state = state_of(memory))
        state->staged.peer_written();
}

bool gst_hl_memory_filled_by_peer(GstMemory *memory)
{
    MemoryState *state = state_of(memory);
    return state && state->memory.placement == hl::Placement::Device && !state->staged.filled_here();
}

int gst_hl_memory_fd(GstMemory *memory)
{
    return gst_is_hl_memory(memory) ? gst_fd_memory_get_fd(memory) : -1;
}

void gst_hl_memory_forbid_recycling(GstMemory *memory)
{
    GST_MINI_OBJECT_CAST(root_of(memory))->dispose = nullptr;
}

hl::Status gst_hl_memory_make_reusable(GstMemory *memory, GstHlReaders readers)
{
    MemoryState *state = state_of(memory);
    if (!state || !state->used.exchange(true))
        return {}; // foreign, or fresh: nobody has fenced it
    auto current = gst_hl_memory_get(memory);
    if (!current) {
        gst_hl_memory_forbid_recycling(memory);
        return std::unexpected(std::move(current.error()));
    }
    if (state->fenced) {
        const auto until = hl::Clock::now() + (readers == GstHlReaders::Wait ? reader_timeout : hl::Clock::duration{});
        auto waited = state->allocator->priv->device->wait_readers(gst_fd_memory_get_fd(root_of(memory)), until);
        if (!waited) {
            if (readers == GstHlReaders::Wait || waited.error().code != hl::ErrorCode::FenceTimeout)
                gst_hl_memory_forbid_recycling(memory);
            return std::unexpected(std::move(waited.error()));
        }
        state->fenced = *waited;
    }
    state->staged.handed_out();
    return {};
}
