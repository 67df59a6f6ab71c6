// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// How the CPU's cores are shared out: `callers` requests at once, each run by `threads` threads.
struct ComputeLayout {
    unsigned callers = 1;
    unsigned threads = 1;

    friend bool operator==(const ComputeLayout &, const ComputeLayout &) noexcept = default;
};

struct MeasuredLayout {
    ComputeLayout layout;
    double per_second = 0.0; // runs; the median of several rounds
};

// Remembers which layout won for a model on this machine: a small JSON file per model, CPU, usable cores and ONNX
// Runtime version in ${XDG_CACHE_HOME:-~/.cache}/gst-habana. A cache that cannot be read or written is no error, it is
// slower.
class LayoutCache {
public:
    // What else the choice depends on, besides the machine: the model's bytes and the limits set by the user.
    LayoutCache(uint64_t model_hash, std::string_view limits);

    // The remembered choice if it is one of `candidates`.
    [[nodiscard]] std::optional<ComputeLayout> load(const std::vector<ComputeLayout> &candidates) const;
    void store(const ComputeLayout &choice, const std::vector<MeasuredLayout> &measured) const;

    // Empty where there is no home to keep it in.
    [[nodiscard]] const std::string &path() const noexcept { return path_; }

private:
    std::string key_; // in words, kept in the file against hash collisions
    std::string path_;
};

// A 64-bit hash of a file's bytes. Errors: ModelMissing.
[[nodiscard]] Result<uint64_t> hash_file(const std::string &path);
// Cores this process may run on, at least 1.
[[nodiscard]] unsigned usable_cores() noexcept;

} // namespace hl
