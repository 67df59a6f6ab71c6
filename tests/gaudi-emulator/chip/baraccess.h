// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/hbm.h"
#include "chip/hostbus.h"
#include "chip/journal.h"
#include "chip/registerfile.h"
#include "chip/registerrouter.h"

#include <cstddef>
#include <cstdint>

namespace gaudiemu::chip {

// The guest's trapped accesses to the BARs: registers act, everything else is the memory that the guest also maps.
class BarAccess {
public:
    struct Numbers {
        unsigned registers = 0;
        unsigned sram = 0; // the registers' too, if SRAM lies beside them
        unsigned hbm = 0;
    };

    BarAccess(Numbers numbers, HostBus &bus, RegisterFile &registers, const Hbm &hbm, const RegisterRouter &router,
              Journal &journal)
        : numbers_(numbers), bus_(bus), registers_(registers), hbm_(hbm), router_(router), journal_(journal)
    {}

    // All ones where nothing answers.
    [[nodiscard]] uint64_t read(unsigned bar, uint64_t offset, unsigned size) const;
    void write(unsigned bar, uint64_t offset, unsigned size, uint64_t value);

private:
    [[nodiscard]] bool trapped(unsigned bar, uint64_t offset) const;
    [[nodiscard]] std::byte *memory(unsigned bar, uint64_t offset, unsigned size) const;

    const Numbers numbers_;
    HostBus &bus_;
    RegisterFile &registers_;
    const Hbm &hbm_;
    const RegisterRouter &router_;
    Journal &journal_;
};

} // namespace gaudiemu::chip
