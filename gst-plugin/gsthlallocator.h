// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "device/device.h"
#include "gsthlptr.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/gst.h>

#include <memory>
#include <vector>

// Allocates frames in one placement of one device, as dma-buf memories (gst_is_dmabuf_memory() holds). Host placement
// keeps one CPU mapping for life. A CPU map of a device frame is a staged DMA, counted; it fails under strict mode
// (HL_STRICT=1 in the environment, or gst_hl_allocator_set_strict). A copy of a device frame is a device copy. Memories
// are recycled by the allocator (mini-object dispose, as va and libcamera do), so importer caches in qdata survive;
// each holds the allocator, and with it the device, until after its descriptor is closed.
#define GST_TYPE_HL_ALLOCATOR (gst_hl_allocator_get_type())
G_DECLARE_FINAL_TYPE(GstHlAllocator, gst_hl_allocator, GST, HL_ALLOCATOR, GstDmaBufAllocator)

// `pages` matters for Host placement only. transfer full
[[nodiscard]] GstPtr<GstHlAllocator> gst_hl_allocator_new(std::shared_ptr<hl::Device> device, hl::Placement placement,
                                                          hl::HostPages pages = hl::HostPages::Base);

[[nodiscard]] const std::shared_ptr<hl::Device> &gst_hl_allocator_device(GstHlAllocator *self);
[[nodiscard]] hl::Placement gst_hl_allocator_placement(GstHlAllocator *self);
[[nodiscard]] hl::HostPages gst_hl_allocator_host_pages(GstHlAllocator *self);

// How planes lie in a frame, for comparison alone: an importer caches it by memory (kmssink's framebuffers), so a
// recycled memory must not come back in another layout.
using GstHlLayoutKey = std::vector<gsize>;
// The maxsize of a memory of `size` bytes.
[[nodiscard]] gsize gst_hl_allocation_bytes(gsize size);
// A memory of exactly `size` bytes whose maxsize has at least a page of slack (v4l2src queues maxsize). Takes a
// recycled one of the same maxsize first; where the layout is another than that asked for last, those are freed
// instead. Without a layout it does not matter. transfer full. Errors: MemoryFull, MemoryHost, FdLimit, MemoryExport,
// DeviceLost.
[[nodiscard]] hl::Result<GstPtr<GstMemory>> gst_hl_allocator_alloc_memory(GstHlAllocator *self, gsize size,
                                                                          const GstHlLayoutKey *layout = nullptr);
// Frees the recycled memories that nobody holds.
void gst_hl_allocator_drop_recycled(GstHlAllocator *self);
void gst_hl_allocator_set_strict(GstHlAllocator *self, bool strict);
// The element that posts an ERROR the first time a map of a device frame is refused or fails, because the element that
// maps can only say that it could not; and what is warned of. Held weakly.
void gst_hl_allocator_set_owner(GstHlAllocator *self, GstElement *owner);
// The owner's WARNING, the first time.
void gst_hl_allocator_warn(GstHlAllocator *self, const hl::Error &error);
// Staged CPU maps of this allocator's memories: uploads and downloads that a CPU map forced.
[[nodiscard]] hl::CopyTotals gst_hl_allocator_totals(GstHlAllocator *self);

// True for memories of any GstHlAllocator, and their sub-memories.
[[nodiscard]] bool gst_is_hl_memory(GstMemory *memory);
// What the device calls this memory (sub-memories: their part). `memory` stays the caller's. Errors: MemoryForeign,
// MemoryStale, MemoryMapped while a CPU write map is open.
[[nodiscard]] hl::Result<hl::Memory> gst_hl_memory_get(GstMemory *memory);
// The device `memory` belongs to; nullptr if foreign.
[[nodiscard]] std::shared_ptr<hl::Device> gst_hl_memory_device(GstMemory *memory);
// To be called after a write by our DMA engine, so that the next CPU map of a device frame downloads it anew.
void gst_hl_memory_device_written(GstMemory *memory);
// The same after a write by another PCI device (P2P).
void gst_hl_memory_peer_written(GstMemory *memory);
// True for a device frame that since its pool handed it out neither our DMA engine nor a CPU map has filled: whatever
// is in it came from another PCI device. Nobody tells us of such writes, so that of a frame which nobody filled this is
// true as well.
[[nodiscard]] bool gst_hl_memory_filled_by_peer(GstMemory *memory);

// The descriptor of the dma-buf, owned by the memory; -1 if foreign.
[[nodiscard]] int gst_hl_memory_fd(GstMemory *memory);
// Before a memory that was in use is handed out again: waits, at most half a second, until the readers that fenced its
// dma-buf are done; with Ask it does not wait. Also refuses memory of an earlier device life, and memory whose last CPU
// write never reached the device. On an error drop the memory: it is not recycled any more, save after a FenceTimeout
// with Ask. Errors: FenceTimeout, MemoryStale, CopyFailed.
enum class GstHlReaders : uint8_t { Wait, Ask };
[[nodiscard]] hl::Status gst_hl_memory_make_reusable(GstMemory *memory, GstHlReaders readers = GstHlReaders::Wait);

// The memory is freed when nobody holds it any more.
void gst_hl_memory_forbid_recycling(GstMemory *memory);

// Called at every staged map, on the mapping thread, with the kind (Upload or Download) and bytes. For the hlcopies
// tracer; one observer per process, nullptr removes it.
using GstHlMapObserver = void (*)(GstMemory *memory, hl::CopyKind kind, uint64_t bytes) noexcept;
void gst_hl_set_map_observer(GstHlMapObserver observer) noexcept;
