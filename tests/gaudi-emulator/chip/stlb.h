// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/registerblock.h"
#include "chip/registerfile.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace gaudiemu::chip {

// The second-level TLB of one MMU: where each address space's first table lies. There is no TLB to invalidate: walks
// are made anew each time, so every invalidation is done as soon as it is asked for.
class Stlb final : public RegisterBlock {
public:
    Stlb(RegisterFile &registers, uint32_t page) : registers_(registers), page_(page) {}

    [[nodiscard]] std::optional<uint64_t> hop0(unsigned asid) const;
    void reset();

    [[nodiscard]] uint32_t read(uint32_t reg) override;
    void write(uint32_t reg, uint32_t value, Origin origin) override;

private:
    RegisterFile &registers_;
    const uint32_t page_;
    mutable std::mutex mutex_;
    std::map<unsigned, uint64_t> hop0_;
};

} // namespace gaudiemu::chip
