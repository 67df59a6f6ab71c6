// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"
#include "pcifunction.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <vector>

namespace gaudiemu::test {

// A function that remembers what was done to it. BAR 0: 64 KiB of which pages 2, 3 and 8 can be mapped, a number at
// each offset in the rest; BAR 2: 1 MiB of memory, 64-bit; BAR 4: the MSI-X table and a doorbell behind it.
class TestFunction final : public PciFunction {
public:
    static constexpr uint64_t bar0_size = 64 << 10;
    static constexpr uint64_t bar2_size = 1 << 20;
    static constexpr uint64_t bar4_size = 16 << 10;
    static constexpr unsigned vectors = 40;
    static constexpr unsigned own_register = 0xFF0;

    TestFunction()
        : file0_(::memfd_create("bar0", MFD_CLOEXEC)), file2_(::memfd_create("bar2", MFD_CLOEXEC)),
          bars_{{.index = 0, .size = bar0_size, .memfd = file0_.get(), .mapped = {{0x2000, 0x2000}, {0x8000, 0x1000}}},
                {.index = 2,
                 .size = bar2_size,
                 .prefetchable = true,
                 .is64 = true,
                 .memfd = file2_.get(),
                 .mapped = {{0, bar2_size}}},
                {.index = 4, .size = bar4_size}}
    {
        if (::ftruncate(file0_.get(), bar0_size) != 0 || ::ftruncate(file2_.get(), bar2_size) != 0)
            std::abort();
    }

    [[nodiscard]] ConfigSpaceInit identity() const override
    {
        return {.vendor = 0x1DA3,
                .device = 0x1020,
                .revision = 2,
                .class_code = 0x120000,
                .subsystem_vendor = 0x1234,
                .subsystem = 0x5678,
                .interrupts = MsixCapability{
                    .vectors = vectors, .table_bar = 4, .table_offset = 0, .pba_bar = 4, .pba_offset = 0x1000}};
    }
    [[nodiscard]] std::span<const Bar> bars() const override { return bars_; }

    [[nodiscard]] uint64_t read(unsigned bar, uint64_t offset, unsigned size) override
    {
        accesses.push_back({'r', bar, offset, size, 0});
        return 0xA0B0'C0D0'0000'0000U | offset;
    }
    void write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override
    {
        accesses.push_back({'w', bar, offset, size, value});
        if (on_write)
            on_write();
    }
    [[nodiscard]] std::optional<uint32_t> read_config(unsigned offset) override
    {
        return offset == own_register ? std::optional(own_value) : std::nullopt;
    }
    [[nodiscard]] bool write_config(unsigned offset, uint32_t value) override
    {
        if (offset != own_register)
            return false;
        own_value = value;
        return true;
    }
    void reset() override
    {
        ++resets;
        if (on_reset)
            on_reset();
    }
    using PciFunction::host;

    struct Access {
        char kind;
        unsigned bar;
        uint64_t offset;
        unsigned size;
        uint64_t value;
        bool operator==(const Access &) const = default;
    };
    // Written by the server's thread: look only after an answer.
    std::vector<Access> accesses;
    std::atomic<int> resets = 0;
    uint32_t own_value = 0x600D;
    std::function<void()> on_write;
    std::function<void()> on_reset;

private:
    hl::UniqueFd file0_;
    hl::UniqueFd file2_;
    std::vector<Bar> bars_;
};

} // namespace gaudiemu::test
