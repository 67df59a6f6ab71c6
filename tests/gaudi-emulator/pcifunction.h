// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace gaudiemu {

// Bytes of a BAR.
struct Area {
    uint64_t offset = 0;
    uint64_t size = 0;
};

// A base address register and the memory behind it.
struct Bar {
    unsigned index = 0; // 0..5; a 64-bit BAR takes index and index + 1
    uint64_t size = 0;  // a power of two, at least 16
    bool prefetchable = false;
    bool is64 = false;
    // Backs the BAR's bytes from 0; stays the function's. -1: every access is trapped.
    int memfd = -1;
    // What the guest reaches without a trap: 4 KiB aligned, ascending, disjoint. Everything else of the BAR is trapped.
    std::vector<Area> mapped;
};

struct MsiCapability {
    unsigned vectors = 1; // a power of two up to 32
};

// The table and the PBA are kept by QEMU; their pages must not be in Bar::mapped.
struct MsixCapability {
    unsigned vectors = 1; // up to 2048
    unsigned table_bar = 0;
    uint32_t table_offset = 0;
    unsigned pba_bar = 0;
    uint32_t pba_offset = 0;
};

// What config space is made of. The transport adds the PCIe endpoint capability and lays the capabilities out.
struct ConfigSpaceInit {
    uint16_t vendor = 0;
    uint16_t device = 0;
    uint8_t revision = 0;
    uint32_t class_code = 0; // base class << 16 | sub-class << 8 | interface
    uint16_t subsystem_vendor = 0;
    uint16_t subsystem = 0;
    std::variant<MsiCapability, MsixCapability> interrupts;
};

// Why a DMA did not happen: nothing (or only a part) was moved.
struct BusFault {
    uint64_t address = 0; // the bus address that faulted, or the request's first
    std::string reason;
};

// What a device model may do to the machine. Thread safe: made for the model's workers. Lives longer than the function
// that it was attached to.
class PciHost {
public:
    // Moves bytes between the model and a bus address: guest memory, or another function's BAR. Fails if nobody answers
    // there, if the guest has not made the function bus master, or if the machine is gone.
    // What is not guest memory is asked of QEMU, whose answer may need the very lock that a trapped access holds:
    // such a DMA is refused on the thread that runs PciFunction::read() and write().
    [[nodiscard]] virtual std::expected<void, BusFault> dma_read(uint64_t bus_address, std::span<std::byte> into) = 0;
    [[nodiscard]] virtual std::expected<void, BusFault> dma_write(uint64_t bus_address,
                                                                  std::span<const std::byte> from) = 0;
    // Sends the message of an MSI or MSI-X vector; nothing happens while the guest has it disabled.
    virtual void interrupt(unsigned vector) = 0;

protected:
    PciHost() = default;
    PciHost(const PciHost &) = delete;
    PciHost &operator=(const PciHost &) = delete;
    ~PciHost() = default;
};

// One PCI function: a device model. The transport calls read(), write(), the config hooks and reset() from one thread,
// one at a time; QEMU drops a device that does not answer within seconds (hw/vfio-user/proxy.c, x-msg-timeout), and
// stops a virtual CPU until it does: a job that takes longer than a register access belongs to a worker of the model.
class PciFunction {
public:
    virtual ~PciFunction() = default;
    PciFunction(const PciFunction &) = delete;
    PciFunction &operator=(const PciFunction &) = delete;

    // Constant for the function's life.
    [[nodiscard]] virtual ConfigSpaceInit identity() const = 0;
    [[nodiscard]] virtual std::span<const Bar> bars() const = 0;

    // A trapped access of 1, 2, 4 or 8 bytes, aligned to its size, inside the BAR. It may also hit a page that is in
    // Bar::mapped (a debugger, a DMA of another device): the model answers with the same bytes as the mapping.
    [[nodiscard]] virtual uint64_t read(unsigned bar, uint64_t offset, unsigned size) = 0;
    virtual void write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) = 0;

    // Config registers of the device's own, 32 bits at a time, `offset` a multiple of 4. nullopt and false: the
    // function has none there, the plain config space answers.
    [[nodiscard]] virtual std::optional<uint32_t> read_config([[maybe_unused]] unsigned offset) { return std::nullopt; }
    [[nodiscard]] virtual bool write_config([[maybe_unused]] unsigned offset, [[maybe_unused]] uint32_t value)
    {
        return false;
    }

    // Function-level or bus reset: back to power-on, jobs in flight forgotten (none of them touches the machine once
    // this has returned). Idempotent; comes before the first access too.
    virtual void reset() = 0;

    // Once, before the first access.
    virtual void attach(PciHost &host) { host_ = &host; }

protected:
    PciFunction() = default;
    [[nodiscard]] PciHost &host() const { return *host_; }

private:
    PciHost *host_ = nullptr;
};

} // namespace gaudiemu
