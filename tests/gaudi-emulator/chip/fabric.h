// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/hbm.h"
#include "chip/hostbus.h"
#include "chip/interrupts.h"
#include "chip/pagefault.h"
#include "chip/queuelayout.h"
#include "chip/registerfile.h"
#include "chip/registerrouter.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>

namespace gaudiemu::chip {

// An engine, as the chip's address space sees it: its AXUSER registers say which address space it lives in.
struct Initiator {
    std::string name;
    unsigned asid = 0;
    bool bypass = true;  // its addresses are physical
    bool driver = false; // it works for the driver, not for a user
};

// The engine (or the stream of it) whose registers lie in `page`, and which does not act for the driver.
[[nodiscard]] Initiator initiator_of(const RegisterFile &registers, const ContextLayout &layout, uint32_t page,
                                     std::string name, unsigned stream = 0);

// Nobody answers at an address.
struct AddressFault {
    uint64_t address = 0;
    std::string reason;
    std::optional<PageFault> page; // an MMU said no
};

// A piece of the address space: bytes that this process maps, or a stretch of the PCIe bus.
struct Place {
    std::byte *memory = nullptr;
    uint64_t bus = 0; // if there is no memory
    uint64_t size = 0;
    std::optional<uint64_t> hbm; // the device address, if it is HBM
};

// The address space that the chip's engines see, and the routing in it. What lies where, and behind which MMU, differs
// from chip to chip. Thread safe.
class Fabric {
public:
    virtual ~Fabric() = default;
    Fabric(const Fabric &) = delete;
    Fabric &operator=(const Fabric &) = delete;

    // What lies at an address, at most `size` bytes of it.
    [[nodiscard]] virtual std::expected<Place, AddressFault> resolve(const Initiator &who, uint64_t address,
                                                                     uint64_t size) = 0;
    [[nodiscard]] std::expected<void, AddressFault> read(const Initiator &who, uint64_t address,
                                                         std::span<std::byte> into);
    [[nodiscard]] std::expected<void, AddressFault> write(const Initiator &who, uint64_t address,
                                                          std::span<const std::byte> from);
    // One word, as the queue managers, the sync manager and completions send it: registers act on it, and so does the
    // virtual doorbell.
    [[nodiscard]] std::expected<void, AddressFault> message(const Initiator &who, uint64_t address, uint32_t value);

    [[nodiscard]] HostBus &bus() noexcept { return bus_; }
    [[nodiscard]] const Hbm &hbm() const noexcept { return hbm_; }

protected:
    Fabric(RegisterFile &registers, const Hbm &hbm, HostBus &bus, const RegisterRouter &router, Interrupts &interrupts)
        : registers_(registers), hbm_(hbm), bus_(bus), router_(router), interrupts_(interrupts)
    {}

    // Registers or SRAM at an address that is one of theirs.
    [[nodiscard]] std::expected<Place, AddressFault> resolve_registers(uint64_t address, uint64_t size) const;
    // HBM at `physical`, which `address` means.
    [[nodiscard]] std::expected<Place, AddressFault> resolve_hbm(uint64_t address, uint64_t physical,
                                                                 uint64_t size) const;
    [[nodiscard]] static AddressFault fault_of(uint64_t address, PageFault page);
    [[nodiscard]] const RegisterFile &registers() const noexcept { return registers_; }

private:
    RegisterFile &registers_;
    const Hbm &hbm_;
    HostBus &bus_;
    const RegisterRouter &router_;
    Interrupts &interrupts_;
};

} // namespace gaudiemu::chip
