// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/framecontents.h"

#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>
#include <span>
#include <utility>

namespace hl {
namespace {

constexpr const char *operation = "read frame";
constexpr std::chrono::seconds copy_patience{10};

// A dma-buf as the CPU sees it, between the calls that bracket such an access (Documentation/driver-api/dma-buf.rst).
class CpuView {
public:
    [[nodiscard]] static Result<CpuView> map(const ImportFrame &frame)
    {
        void *data =
            ::mmap(nullptr, static_cast<size_t>(frame.bytes), PROT_READ | PROT_WRITE, MAP_SHARED, frame.fd.get(), 0);
        if (data == MAP_FAILED)
            return fail(ErrorCode::MemoryExport, operation, "the frame's dma-buf cannot be mapped", "", errno);
        return CpuView(frame, static_cast<std::byte *>(data));
    }
    CpuView(CpuView &&other) noexcept : fd_(other.fd_), bytes_(std::exchange(other.bytes_, {})) {}
    CpuView(const CpuView &) = delete;
    CpuView &operator=(const CpuView &) = delete;
    CpuView &operator=(CpuView &&) = delete;
    ~CpuView()
    {
        if (bytes_.empty())
            return;
        sync(DMA_BUF_SYNC_END);
        (void)::munmap(bytes_.data(), bytes_.size());
    }

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

private:
    CpuView(const ImportFrame &frame, std::byte *data) : fd_(frame.fd.get()), bytes_(data, frame.bytes)
    {
        sync(DMA_BUF_SYNC_START);
    }
    void sync(uint64_t which) const
    {
        dma_buf_sync wanted{.flags = DMA_BUF_SYNC_RW | which};
        (void)::ioctl(fd_, DMA_BUF_IOCTL_SYNC, &wanted);
    }

    int fd_;
    std::span<std::byte> bytes_;
};

enum class Direction : uint8_t { Write, Read };

Status copy_through(const ImportFrame &frame, std::span<std::byte> bytes, Direction direction)
{
    const auto &device = frame.memory.device();
    auto staging = OwnedMemory::allocate(device, frame.bytes, Placement::Host);
    if (!staging)
        return std::unexpected(std::move(staging.error()));
    const auto seen = device->host_span(staging->get());
    if (!seen)
        return std::unexpected(seen.error());
    const bool writing = direction == Direction::Write;
    if (writing)
        std::ranges::copy(bytes, seen->begin());
    else if (const Status flushed = device->flush_inbound_writes(); !flushed)
        return flushed;
    const std::array region{CopyRegion{.source = writing ? staging->get() : frame.memory.get(),
                                       .target = writing ? frame.memory.get() : staging->get(),
                                       .row_bytes = frame.bytes}};
    const Status copied = device->copy(region, Clock::now() + copy_patience);
    if (copied && !writing)
        std::ranges::copy(seen->first(bytes.size()), bytes.begin());
    return copied;
}

Status transfer(const ImportFrame &frame, std::span<std::byte> bytes, Direction direction)
{
    if (frame.memory)
        return copy_through(frame, bytes, direction);
    const auto view = CpuView::map(frame);
    if (!view)
        return std::unexpected(view.error());
    if (direction == Direction::Write)
        std::ranges::copy(bytes, view->bytes().begin());
    else
        std::ranges::copy(view->bytes(), bytes.begin());
    return {};
}

} // namespace

Result<FrameContents> FrameContents::fill(const ImportFrame &frame)
{
    FrameContents out(frame);
    out.before_.resize(frame.bytes);
    std::mt19937_64 noise(frame.bytes);
    for (size_t at = 0; at + sizeof(uint64_t) <= out.before_.size(); at += sizeof(uint64_t)) {
        const uint64_t word = noise();
        std::memcpy(out.before_.data() + at, &word, sizeof(word));
    }
    if (Status written = transfer(frame, out.before_, Direction::Write); !written)
        return std::unexpected(std::move(written.error()));
    std::vector<std::byte> now(out.before_.size());
    if (Status read = transfer(frame, now, Direction::Read); !read)
        return std::unexpected(std::move(read.error()));
    // The frames of host pages have a half of them twice (importframe.cpp), so that the later noise is there alone.
    if (frame.memory && now != out.before_)
        return fail(ErrorCode::CopyFailed, operation, "the Gaudi reads other bytes than it wrote", "");
    out.before_ = std::move(now);
    return out;
}

Result<uint64_t> FrameContents::untouched(uint64_t bytes) const
{
    std::vector<std::byte> now(before_.size());
    if (Status read = transfer(*frame_, now, Direction::Read); !read)
        return std::unexpected(std::move(read.error()));
    uint64_t same = 0;
    const uint64_t end = std::min<uint64_t>(bytes, now.size());
    for (uint64_t at = 0; at < end; at += export_page) {
        const size_t length = std::min(export_page, end - at);
        if (std::memcmp(now.data() + at, before_.data() + at, length) == 0)
            same += length;
    }
    return same;
}

} // namespace hl
