// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/copycheck.h"

#include <cerrno>
#include <format>
#include <optional>
#include <span>

namespace hl {
namespace {

constexpr const char *operation = "DMA copy";

// Bytes from the first to past the last one of a rectangle; nullopt on overflow.
std::optional<uint64_t> extent(uint64_t stride, uint64_t row_bytes, uint32_t rows) noexcept
{
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(stride, uint64_t{rows} - 1, &bytes) || __builtin_add_overflow(bytes, row_bytes, &bytes))
        return std::nullopt;
    return bytes;
}

bool fits(const Memory &memory, uint64_t offset, uint64_t stride, const CopyRegion &region) noexcept
{
    if (region.rows > 1 && stride < region.row_bytes)
        return false;
    const auto bytes = extent(region.rows > 1 ? stride : 0, region.row_bytes, region.rows);
    return bytes && offset <= memory.size && *bytes <= memory.size - offset;
}

} // namespace

Result<CopyWay> check_copy_way(const CopyRequest &request, const std::string &device)
{
    const auto refuse = [&device](std::string cause) {
        return fail(ErrorCode::CopyFailed, operation, std::move(cause), {}, EINVAL, device);
    };
    if (request.regions == 0 || request.regions > request.region.size())
        return refuse(
            std::format("a request of {} regions; 1 to {} can be taken", request.regions, request.region.size()));
    const Placement from = request.region[0].source.placement;
    const Placement to = request.region[0].target.placement;
    if (from == Placement::Host && to == Placement::Host)
        return refuse("host to host is no DMA of the device");
    for (const CopyRegion &region : std::span(request.region).first(request.regions))
        if (region.source.placement != from || region.target.placement != to)
            return refuse("the regions of one request go different ways");
    return to == Placement::Host ? CopyWay::Up : CopyWay::Down;
}

Status check_copy_region(const CopyRegion &region, const std::string &device)
{
    if (region.row_bytes == 0 || region.rows == 0)
        return fail(ErrorCode::MemoryRange, operation, "a region without bytes", {}, EINVAL, device);
    if (fits(region.source, region.source_offset, region.source_stride, region) &&
        fits(region.target, region.target_offset, region.target_stride, region))
        return {};
    return fail(ErrorCode::MemoryRange, operation,
                std::format("{} rows of {} bytes do not fit: source offset {} stride {} in {} bytes, target offset {} "
                            "stride {} in {} bytes",
                            region.rows, region.row_bytes, region.source_offset, region.source_stride,
                            region.source.size, region.target_offset, region.target_stride, region.target.size),
                {}, EINVAL, device);
}

} // namespace hl
