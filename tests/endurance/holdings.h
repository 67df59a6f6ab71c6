// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "../elements/processcounts.h"
#include "device/device.h"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <format>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace hltest {

// What this process holds, by witnesses that are not each other's: the kernel's, the heap's, and the device's.
class Holdings {
public:
    struct Witness {
        std::string_view name;
        uint64_t at_rest; // what comes and goes without being a leak, of a line that is at rest
        uint64_t running; // and of one that runs, with its frames in flight
    };
    // Dma-bufs, and the memfds that stand in for them where there is no /dev/udmabuf: descriptors, and mappings of
    // them. Of the heap everything is counted, to the byte: GLIBC_TUNABLES turns off the caches of its threads.
    static constexpr std::array<Witness, 10> witnesses{{{"descriptors", 0, 48},
                                                        {"threads", 0, 4},
                                                        {"dma-bufs", 0, 48},
                                                        {"mapped", 0, 48},
                                                        {"HBM", 0, 1 << 20},
                                                        {"host pages", 0, 1 << 20},
                                                        {"exports", 0, 48},
                                                        {"requests", 0, 8},
                                                        {"heap", 16 << 10, 256 << 10},
                                                        {"anonymous", 4 << 20, 4 << 20}}};

    static Holdings now(const hl::Device &device)
    {
        const hl::Device::Usage usage = device.usage();
        Holdings out;
        out.values_ = {open_descriptors(), threads(),        frame_descriptors(), frame_mappings(),
                       usage.device_bytes, usage.host_bytes, usage.exports_open,  usage.requests_pending,
                       heap_bytes(),       anonymous_bytes()};
        return out;
    }

    // The witnesses that saw more than before, by more than what comes and goes.
    [[nodiscard]] std::vector<std::string> grown_since(const Holdings &before, bool running = false) const
    {
        std::vector<std::string> out;
        for (size_t i = 0; i < witnesses.size(); ++i)
            if (values_[i] > before.values_[i] + (running ? witnesses[i].running : witnesses[i].at_rest))
                out.emplace_back(witnesses[i].name);
        return out;
    }
    [[nodiscard]] uint64_t threads_alive() const { return values_[1]; }

    static std::string header(std::string_view title)
    {
        std::string out = std::format("| {:<24}", title);
        for (const Witness &witness : witnesses)
            out += std::format(" {:>11}", witness.name);
        return out;
    }
    [[nodiscard]] std::string row(std::string_view title) const
    {
        std::string out = std::format("| {:<24}", title);
        for (const uint64_t value : values_)
            out += std::format(" {:>11}", value);
        return out;
    }

private:
    static bool is_frame(std::string_view name) { return name.contains("dmabuf") || name.contains("memfd:hl-"); }
    static uint64_t frame_descriptors()
    {
        uint64_t found = 0;
        std::error_code closed; // the one that reads the directory
        for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd"))
            found += is_frame(std::filesystem::read_symlink(entry.path(), closed).string());
        return found;
    }
    static uint64_t frame_mappings()
    {
        std::ifstream in("/proc/self/maps");
        uint64_t found = 0;
        for (std::string line; std::getline(in, line);)
            found += is_frame(line);
        return found;
    }
    static uint64_t heap_bytes()
    {
        const struct mallinfo2 info = ::mallinfo2();
        return info.uordblks + info.hblkhd;
    }

    std::array<uint64_t, witnesses.size()> values_{};
};

} // namespace hltest
