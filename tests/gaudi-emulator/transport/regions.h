// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pcifunction.h"
#include "transport/configspace.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <vector>

namespace gaudiemu {

// A function's regions as vfio counts them: the six BARs, the ROM (none), config space, VGA (none). Checks what comes
// from outside and cuts it into accesses that a device can have.
class Regions {
public:
    explicit Regions(PciFunction &function);

    // The payload of the answer to GET_REGION_INFO, and the descriptor that goes with it. Errors: EINVAL.
    struct Info {
        std::vector<std::byte> payload;
        int fd = -1;
    };
    [[nodiscard]] std::expected<Info, int> info(uint32_t region, uint32_t argsz) const;

    // Errors: EINVAL, outside the region.
    [[nodiscard]] std::expected<void, int> read(uint32_t region, uint64_t offset, std::span<std::byte> into);
    enum class Written { Done, AskedForReset };
    [[nodiscard]] std::expected<Written, int> write(uint32_t region, uint64_t offset, std::span<const std::byte> from);

    void reset() { config_.reset(); }
    [[nodiscard]] bool bus_master() const { return config_.bus_master(); }

private:
    [[nodiscard]] const Bar *bar(uint32_t region) const;
    [[nodiscard]] bool holds_msix(unsigned bar, uint64_t offset) const;
    [[nodiscard]] uint64_t size_of(uint32_t region) const;
    [[nodiscard]] uint32_t read_config(size_t offset);
    [[nodiscard]] bool write_config(size_t offset, uint32_t value);

    PciFunction &function_;
    const ConfigSpaceInit identity_;
    ConfigSpace config_;
};

} // namespace gaudiemu
