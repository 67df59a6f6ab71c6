// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "device/device.h"
#include "gsthlstagedmap.h"

#include <gst/gst.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

// The CPU maps of one allocator's memories: a device frame's go through pinned pages that are kept for the next, and
// are counted, told to the process's observer and refused in strict mode; a host memory's lie in its mapping for life
// and are bracketed for the kernel. Thread safe.
class GstHlCpuMaps {
public:
    // `owner` names the allocator in logs; it is not kept alive.
    GstHlCpuMaps(GstObject *owner, std::shared_ptr<hl::Device> device);
    GstHlCpuMaps(const GstHlCpuMaps &) = delete;
    GstHlCpuMaps &operator=(const GstHlCpuMaps &) = delete;
    ~GstHlCpuMaps();

    // The first byte of `root`'s device frame `frame`, or nullptr (logged).
    [[nodiscard]] std::byte *map_device(GstHlStagedMap &staged, GstMemory *root, const hl::Memory &frame,
                                        GstMapFlags flags);
    void unmap_device(GstHlStagedMap &staged, GstMemory *root);
    // Tells the kernel that the CPU begins or ends to look at a host memory. `when`: DMA_BUF_SYNC_START or _END.
    void sync_host(GstMemory *memory, GstMapFlags flags, guint64 when) const;

    // Refuse CPU maps of device frames. HL_STRICT=1 in the environment cannot be taken back.
    void set_strict(bool strict);
    // Who posts the error of the first map that was refused or failed, and warns; held weakly.
    void set_reporter(GstElement *element);
    // A WARNING of the reporter's, the first time.
    void warn(const hl::Error &error);
    void count(hl::CopyKind kind, uint64_t bytes) { counters_.add(kind, bytes); }
    [[nodiscard]] hl::CopyTotals totals() const { return counters_.totals(); }
    // Gives the pages at rest back.
    void drop_pages();

private:
    void refuse(uint64_t bytes);
    void tell(const hl::Error &error);
    void moved(GstMemory *root, hl::CopyKind kind, uint64_t bytes);
    [[nodiscard]] hl::Result<hl::OwnedMemory> take_pages(uint64_t bytes);
    void give_pages(hl::OwnedMemory pages);

    GstObject *const owner_;
    const std::shared_ptr<hl::Device> device_;
    hl::CopyCounters counters_;
    std::atomic<bool> strict_;
    GWeakRef reporter_{};
    std::atomic<bool> told_ = false;   // of a map that failed, by the reporter
    std::atomic<bool> warned_ = false; // likewise
    std::mutex mutex_;                 // guards what follows
    std::vector<hl::OwnedMemory> pages_;
};
