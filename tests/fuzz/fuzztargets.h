// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

// Everything that a stranger may write and hl-bridge reads. Each target takes any bytes and aborts where a promise is
// broken. libFuzzer runs them (fuzz_inputs.cpp, with clang); the corpora go through them in every build
// (fuzzcorpus_test.cpp).
namespace hl::test {

struct FuzzTarget {
    std::string_view name; // of its corpus as well
    void (*run)(std::span<const std::byte> input);
};

void fuzz_modelinfo(std::span<const std::byte> text);
void fuzz_labels(std::span<const std::byte> text);
void fuzz_faults(std::span<const std::byte> text);
void fuzz_devicespec(std::span<const std::byte> text);
void fuzz_tensors(std::span<const std::byte> input);
void fuzz_modelfile(std::span<const std::byte> file);
void fuzz_pcitree(std::span<const std::byte> input);

inline constexpr std::array fuzz_targets{
    FuzzTarget{"modelinfo", fuzz_modelinfo}, FuzzTarget{"labels", fuzz_labels},
    FuzzTarget{"faults", fuzz_faults},       FuzzTarget{"devicespec", fuzz_devicespec},
    FuzzTarget{"tensors", fuzz_tensors},     FuzzTarget{"modelfile", fuzz_modelfile},
    FuzzTarget{"pcitree", fuzz_pcitree},
};

// Ends the program where a promise is broken.
void require(bool promise);
// Of an error: it has a cause and a remedy of a few lines, and its cause steers no terminal.
void require_readable(const Error &error);

[[nodiscard]] inline std::string_view text_of(std::span<const std::byte> bytes)
{
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

} // namespace hl::test
