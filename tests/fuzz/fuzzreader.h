// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace hl::test {

// Takes values from the front of a fuzzer's input; zeros behind its end.
class FuzzReader {
public:
    explicit FuzzReader(std::span<const std::byte> input) : rest_(input) {}

    template <class T>
    [[nodiscard]] T take()
    {
        T out{};
        const auto bytes = take_bytes(sizeof out);
        if (!bytes.empty())
            std::memcpy(&out, bytes.data(), bytes.size());
        return out;
    }
    // `count` values: what is left of the input, over and over.
    template <class T>
    [[nodiscard]] std::vector<T> fill(size_t count)
    {
        std::vector<T> out(count);
        const size_t whole = count * sizeof(T);
        for (size_t at = 0; at < whole && !rest_.empty(); at += rest_.size())
            std::memcpy(reinterpret_cast<std::byte *>(out.data()) + at, rest_.data(),
                        std::min(rest_.size(), whole - at));
        return out;
    }
    // Up to `most` bytes, fewer at the end.
    [[nodiscard]] std::span<const std::byte> take_bytes(size_t most)
    {
        const auto out = rest_.first(std::min(most, rest_.size()));
        rest_ = rest_.subspan(out.size());
        return out;
    }
    // What is left up to a separator, which is taken too.
    [[nodiscard]] std::string_view take_until(char separator)
    {
        const std::string_view all(reinterpret_cast<const char *>(rest_.data()), rest_.size());
        const std::string_view out = all.substr(0, all.find(separator));
        (void)take_bytes(out.size() + 1);
        return out;
    }

private:
    std::span<const std::byte> rest_;
};

} // namespace hl::test
