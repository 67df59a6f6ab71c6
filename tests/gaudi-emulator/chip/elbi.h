// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/journal.h"
#include "chip/registerrouter.h"

#include <cstdint>
#include <optional>

namespace gaudiemu::chip {

// A way to the registers through config space, for the time before the BARs lead anywhere (include/hw_ip/pci/
// pci_general.h; common/pci/pci.c hl_pci_elbi_read()). The first Gaudi's driver reads one register by it and, as the
// firmware has set up the iATU, writes none (gaudi.c gaudi_early_init(), gaudi_init_iatu()).
class Elbi {
public:
    Elbi(const RegisterRouter &router, uint64_t cfg_base, uint32_t cfg_size, Journal &journal)
        : router_(router), base_(static_cast<uint32_t>(cfg_base)), size_(cfg_size), journal_(journal)
    {}

    // nullopt and false: no register of its.
    [[nodiscard]] std::optional<uint32_t> read(unsigned offset) const;
    [[nodiscard]] bool write(unsigned offset, uint32_t value);
    void reset();

private:
    void access(uint32_t control);

    const RegisterRouter &router_;
    const uint32_t base_; // the lower half of cfg_base: addresses have 32 bits here
    const uint32_t size_;
    Journal &journal_;
    uint32_t address_ = 0;
    uint32_t data_ = 0;
    uint32_t control_ = 0;
    uint32_t status_ = 0;
};

} // namespace gaudiemu::chip
