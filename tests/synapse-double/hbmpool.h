// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/driver.h"
#include "device/arena.h"

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>

namespace hl::dbl {

// All HBM of a Gaudi2, taken from the driver as one mapping, and divided as SCAL does (G3SW
// scal_init_gaudi2.cpp:262-395): something for itself, then the pool "global_hbm", the rest but for 4 KiB. Not thread
// safe, except for the constants.
class HbmPool {
public:
    // Of all that synDeviceMalloc gives.
    static constexpr uint64_t alignment = 128;
    // What lies before global_hbm.
    static constexpr uint64_t reserved = 1 << 20;

    // `driver` outlives it. The errno of a refusal.
    [[nodiscard]] static std::expected<std::unique_ptr<HbmPool>, int> take(kernel::Driver &driver, uint64_t hbm_bytes);
    HbmPool(const HbmPool &) = delete;
    HbmPool &operator=(const HbmPool &) = delete;
    ~HbmPool();

    // Of the driver's mapping ("device_base_allocated_address"), and of global_hbm.
    [[nodiscard]] uint64_t mapping() const noexcept { return mapping_; }
    [[nodiscard]] uint64_t base() const noexcept { return mapping_ + reserved; }
    [[nodiscard]] uint64_t size() const noexcept { return arena_.size(); }
    [[nodiscard]] uint64_t free_bytes() const noexcept { return arena_.size() - arena_.used(); }

    [[nodiscard]] std::optional<uint64_t> allocate(uint64_t bytes);
    // FALSE: nothing begins there.
    [[nodiscard]] bool free(uint64_t address);
    // Whether the range lies inside one allocation.
    [[nodiscard]] bool holds(uint64_t address, uint64_t bytes) const;
    // Gives the mapping back to the driver. The errno: EINVAL while a dma-buf of it is open.
    [[nodiscard]] int give_back();

private:
    HbmPool(kernel::Driver &driver, uint64_t handle, uint64_t mapping, uint64_t bytes);

    kernel::Driver &driver_;
    const uint64_t handle_, mapping_;
    bool taken_ = true;
    Arena arena_;
    std::map<uint64_t, uint64_t> live_; // address -> bytes asked for
};

} // namespace hl::dbl
