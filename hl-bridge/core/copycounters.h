// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace hl {

// The five ways a frame's bytes move, as every report names them.
enum class CopyKind : uint8_t {
    CpuCopy,  // the CPU moves a frame between two memories
    Upload,   // Gaudi's DMA engine moves it from host pages to HBM
    Download, // ... and back
    P2P,      // another PCI device's DMA reaches HBM
    ReadBack, // a download made because compute on the host was asked for
};
inline constexpr size_t copy_kinds = 5;

// "cpu-copy", "upload", "download", "p2p", "read-back". Static storage.
[[nodiscard]] constexpr std::string_view copy_kind_name(CopyKind kind) noexcept
{
    constexpr std::array<std::string_view, copy_kinds> names{"cpu-copy", "upload", "download", "p2p", "read-back"};
    return names[static_cast<size_t>(kind)];
}

// A consistent-enough reading of CopyCounters: each pair is read separately.
struct CopyTotals {
    struct Total {
        uint64_t count = 0;
        uint64_t bytes = 0;
    };
    std::array<Total, copy_kinds> kind{};

    CopyTotals &operator+=(const CopyTotals &other) noexcept
    {
        for (size_t i = 0; i < copy_kinds; ++i) {
            kind[i].count += other.kind[i].count;
            kind[i].bytes += other.kind[i].bytes;
        }
        return *this;
    }
    [[nodiscard]] const Total &operator[](CopyKind k) const noexcept { return kind[static_cast<size_t>(k)]; }
};

// Counts frames and bytes moved, per kind. Any thread may add.
class CopyCounters {
public:
    void add(CopyKind kind, uint64_t bytes) noexcept
    {
        auto &cell = cells_[static_cast<size_t>(kind)];
        cell.count.fetch_add(1, std::memory_order_relaxed);
        cell.bytes.fetch_add(bytes, std::memory_order_relaxed);
    }

    [[nodiscard]] CopyTotals totals() const noexcept
    {
        CopyTotals out;
        for (size_t i = 0; i < copy_kinds; ++i)
            out.kind[i] = {cells_[i].count.load(std::memory_order_relaxed),
                           cells_[i].bytes.load(std::memory_order_relaxed)};
        return out;
    }

    void reset() noexcept
    {
        for (auto &cell : cells_) {
            cell.count.store(0, std::memory_order_relaxed);
            cell.bytes.store(0, std::memory_order_relaxed);
        }
    }

private:
    struct Cell {
        std::atomic<uint64_t> count{0};
        std::atomic<uint64_t> bytes{0};
    };
    std::array<Cell, copy_kinds> cells_{};
};

} // namespace hl
