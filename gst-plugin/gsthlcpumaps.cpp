// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlcpumaps.h"

#include "gsthlallocator.h"
#include "gsthlerror.h"

#include <linux/dma-buf.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>
#include <utility>

GST_DEBUG_CATEGORY_STATIC(hl_maps_debug);
#define GST_CAT_DEFAULT hl_maps_debug
GST_DEBUG_CATEGORY_STATIC(performance_debug);

namespace {

std::atomic<GstHlMapObserver> map_observer{nullptr};

void ensure_categories()
{
    [[maybe_unused]] static const bool once = [] {
        GST_DEBUG_CATEGORY_INIT(hl_maps_debug, "hlmaps", 0, "CPU maps of frames in Gaudi memory");
        GST_DEBUG_CATEGORY_GET(performance_debug, "GST_PERFORMANCE");
        return true;
    }();
}

bool strict_environment()
{
    const gchar *value = g_getenv("HL_STRICT");
    return value && *value && std::strcmp(value, "0") != 0;
}

} // namespace

GstHlCpuMaps::GstHlCpuMaps(GstObject *owner, std::shared_ptr<hl::Device> device)
    : owner_(owner), device_(std::move(device)), strict_(strict_environment())
{
    ensure_categories();
    g_weak_ref_init(&reporter_, nullptr);
}

GstHlCpuMaps::~GstHlCpuMaps()
{
    g_weak_ref_clear(&reporter_);
}

void GstHlCpuMaps::set_strict(bool strict)
{
    strict_ = strict || strict_environment();
}

void GstHlCpuMaps::set_reporter(GstElement *element)
{
    g_weak_ref_set(&reporter_, element);
}

std::byte *GstHlCpuMaps::map_device(GstHlStagedMap &staged, GstMemory *root, const hl::Memory &frame, GstMapFlags flags)
{
    if (strict_) {
        refuse(frame.size);
        return nullptr;
    }
    auto data = staged.map(
        device_, frame, flags & GST_MAP_READ, flags & GST_MAP_WRITE, [this](uint64_t size) { return take_pages(size); },
        [&](uint64_t bytes) { moved(root, hl::CopyKind::Download, bytes); });
    if (data)
        return *data;
    GST_ERROR_OBJECT(owner_, "CPU map of device frame %p: %s", root, data.error().details().c_str());
    tell(data.error());
    return nullptr;
}

void GstHlCpuMaps::unmap_device(GstHlStagedMap &staged, GstMemory *root)
{
    auto done = staged.unmap(
        device_, [this](hl::OwnedMemory pages) { give_pages(std::move(pages)); },
        [&](uint64_t bytes) { moved(root, hl::CopyKind::Upload, bytes); });
    if (!done)
        GST_ERROR_OBJECT(owner_, "what the CPU wrote to device frame %p is lost: %s", root,
                         done.error().details().c_str());
}

void GstHlCpuMaps::sync_host(GstMemory *memory, GstMapFlags flags, guint64 when) const
{
    if (!device_->info().udmabuf)
        return; // a plain memfd is coherent by itself
    dma_buf_sync sync{.flags = when};
    if (flags & GST_MAP_READ)
        sync.flags |= DMA_BUF_SYNC_READ;
    if (flags & GST_MAP_WRITE)
        sync.flags |= DMA_BUF_SYNC_WRITE;
    int result;
    do
        result = ioctl(gst_fd_memory_get_fd(memory), DMA_BUF_IOCTL_SYNC, &sync);
    while (result < 0 && (errno == EINTR || errno == EAGAIN));
    if (result < 0)
        GST_WARNING_OBJECT(owner_, "DMA_BUF_IOCTL_SYNC of %p: %s", memory, g_strerror(errno));
}

void GstHlCpuMaps::drop_pages()
{
    std::vector<hl::OwnedMemory> resting;
    const std::lock_guard lock(mutex_);
    resting.swap(pages_);
}

void GstHlCpuMaps::refuse(uint64_t bytes)
{
    const hl::Error error{.code = hl::ErrorCode::CopyRefused,
                          .operation = "map device frame",
                          .device = device_->info().name,
                          .cause = std::format("an element maps a frame in device memory for the CPU, which would move "
                                               "{} bytes (HL_STRICT=1 or zero-copy=require)",
                                               bytes),
                          .remedy = "put hldownload before the element that reads or writes the frame"};
    GST_CAT_WARNING_OBJECT(performance_debug, owner_, "%s", error.details().c_str());
    tell(error);
}

// Who maps can only say that it could not, if that (videotestsrc sends the frame as it is).
void GstHlCpuMaps::tell(const hl::Error &error)
{
    const auto reporter = GstPtr<GstElement>::adopt(static_cast<GstElement *>(g_weak_ref_get(&reporter_)));
    if (reporter && !told_.exchange(true))
        gst_hl_post_device_error(reporter.get(), *device_, error);
}

void GstHlCpuMaps::warn(const hl::Error &error)
{
    const auto reporter = GstPtr<GstElement>::adopt(static_cast<GstElement *>(g_weak_ref_get(&reporter_)));
    if (reporter && !warned_.exchange(true))
        gst_hl_post_warning(reporter.get(), error);
}

void GstHlCpuMaps::moved(GstMemory *root, hl::CopyKind kind, uint64_t bytes)
{
    counters_.add(kind, bytes);
    GST_CAT_LOG_OBJECT(performance_debug, owner_, "CPU map of device frame %p: %s of %" G_GUINT64_FORMAT " bytes", root,
                       hl::copy_kind_name(kind).data(), guint64{bytes});
    if (const GstHlMapObserver observer = map_observer.load(std::memory_order_acquire))
        observer(root, kind, bytes);
}

hl::Result<hl::OwnedMemory> GstHlCpuMaps::take_pages(uint64_t bytes)
{
    {
        const std::lock_guard lock(mutex_);
        const auto at = std::ranges::find_if(pages_, [&](const hl::OwnedMemory &pages) {
            return pages.get().size >= bytes && pages.get().generation == device_->generation();
        });
        if (at != pages_.end()) {
            hl::OwnedMemory out = std::move(*at);
            pages_.erase(at);
            return out;
        }
    }
    return hl::OwnedMemory::allocate(device_, bytes, hl::Placement::Host);
}

void GstHlCpuMaps::give_pages(hl::OwnedMemory pages)
{
    constexpr size_t kept = 4;
    const std::lock_guard lock(mutex_);
    if (pages_.size() < kept)
        pages_.push_back(std::move(pages));
}

void gst_hl_set_map_observer(GstHlMapObserver observer) noexcept
{
    map_observer.store(observer, std::memory_order_release);
}
