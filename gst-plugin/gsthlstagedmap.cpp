// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlstagedmap.h"

#include <format>
#include <utility>

namespace {

hl::Status move_bytes(hl::Device &device, const hl::Memory &from, const hl::Memory &to, uint64_t bytes)
{
    const hl::CopyRegion region{.source = from, .target = to, .row_bytes = bytes};
    return device.copy({&region, 1}, hl::Clock::now() + GstHlStagedMap::timeout);
}

} // namespace

hl::Result<std::byte *> GstHlStagedMap::map(const std::shared_ptr<hl::Device> &device, const hl::Memory &frame,
                                            bool read, bool write, const Take &take, const Moved &downloaded)
{
    const std::lock_guard lock(mutex_);
    if (broken_)
        return std::unexpected(*broken_);
    if (maps_ > 0) {
        if (frame.size > frame_.size)
            return hl::fail(hl::ErrorCode::MemoryRange, "map device frame",
                            std::format("{} bytes are mapped, a nested map asks for {}", frame_.size, frame.size));
        ++maps_;
        wrote_ = wrote_ || write;
        return data_;
    }
    auto pages = take(frame.size);
    if (!pages)
        return std::unexpected(std::move(pages.error()));
    auto span = device->host_span(pages->get());
    if (!span)
        return std::unexpected(std::move(span.error()));
    if (read || content_) {
        if (auto moved = move_bytes(*device, frame, pages->get(), frame.size); !moved)
            return std::unexpected(std::move(moved.error()));
        downloaded(frame.size);
    }
    frame_ = frame;
    pages_ = std::move(*pages);
    data_ = span->data();
    maps_ = 1;
    wrote_ = write;
    return data_;
}

hl::Status GstHlStagedMap::unmap(const std::shared_ptr<hl::Device> &device, const Give &give, const Moved &uploaded)
{
    const std::lock_guard lock(mutex_);
    if (maps_ == 0 || --maps_ > 0)
        return {};
    hl::Status status;
    if (std::exchange(wrote_, false)) {
        status = move_bytes(*device, pages_.get(), frame_, frame_.size);
        if (status) {
            content_ = filled_here_ = true;
            uploaded(frame_.size);
        } else {
            broken_ = status.error();
        }
    }
    data_ = nullptr;
    give(std::move(pages_));
    return status;
}

hl::Status GstHlStagedMap::usable()
{
    const std::lock_guard lock(mutex_);
    if (broken_)
        return std::unexpected(*broken_);
    if (maps_ > 0 && wrote_)
        return hl::fail(hl::ErrorCode::MemoryMapped, "use memory", "the CPU has the device frame mapped for writing",
                        "unmap the frame before it goes on");
    return {};
}

bool GstHlStagedMap::broken()
{
    const std::lock_guard lock(mutex_);
    return broken_.has_value();
}

bool GstHlStagedMap::open()
{
    const std::lock_guard lock(mutex_);
    return maps_ > 0;
}

void GstHlStagedMap::device_written()
{
    const std::lock_guard lock(mutex_);
    content_ = filled_here_ = true;
}

void GstHlStagedMap::peer_written()
{
    const std::lock_guard lock(mutex_);
    content_ = true;
}

// An importer that still holds the descriptor may write at any time: a CPU map has to look.
void GstHlStagedMap::handed_out()
{
    const std::lock_guard lock(mutex_);
    content_ = true;
    filled_here_ = false;
}

bool GstHlStagedMap::filled_here()
{
    const std::lock_guard lock(mutex_);
    return filled_here_;
}
