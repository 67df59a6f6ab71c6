// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/registerblock.h"
#include "chip/registerfile.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace gaudiemu::chip {

// The second-level TLB of one MMU: where each address space's first table lies. There is no TLB to invalidate: walks
// are made anew each time, so every invalidation is done as soon as it is asked for.
class Stlb final : public RegisterBlock {
public:
    // Offsets in the page; what is not in the list is plain.
    struct Layout {
        std::vector<uint32_t> done_at_once; // read back 0, whatever is written
        uint32_t busy;
        uint32_t asid;
        uint32_t hop0_low;  // bits 43:12 of the table's address
        uint32_t hop0_high; // and the rest
        uint32_t mem_cache_inv;
        uint32_t mem_cache_inv_status;
    };

    Stlb(RegisterFile &registers, uint32_t page, const Layout &layout)
        : registers_(registers), page_(page), layout_(layout)
    {}

    [[nodiscard]] std::optional<uint64_t> hop0(unsigned asid) const;
    void reset();

    [[nodiscard]] uint32_t read(uint32_t reg) override;
    void write(uint32_t reg, uint32_t value, Origin origin) override;

private:
    RegisterFile &registers_;
    const uint32_t page_;
    const Layout layout_;
    mutable std::mutex mutex_;
    std::map<unsigned, uint64_t> hop0_;
};

} // namespace gaudiemu::chip
