// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace gaudiemu {

enum class Chip { Gaudi, Gaudi2 };

// What the Gaudi is made to be.
enum class Behaviour {
    Chip,
    Null, // jobs complete, and move nothing: the control of tests of data
    Dead, // registers read zero, nothing ever happens: the control of tests of the boot
};

// The command line of gaudi-emulator.
struct Options {
    Chip chip = Chip::Gaudi2;
    Behaviour behaviour = Behaviour::Chip;
    std::vector<std::string> faults;  // orders for the chip
    std::optional<std::string> gaudi; // paths of the sockets to make
    std::optional<std::string> capture;
    std::optional<std::string> scanout;
    std::optional<std::string> film; // what the capture card looks at; card/film.h

    // Errors: what is wrong, and what there is.
    [[nodiscard]] static std::expected<Options, std::string> parse(const std::vector<std::string> &arguments);
};

extern const char *const usage;

} // namespace gaudiemu
