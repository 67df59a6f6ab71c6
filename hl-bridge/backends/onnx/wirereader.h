// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

namespace hl {

// Walks the fields of protobuf messages in a file, without trusting a byte of it: memory is one small window, whatever
// the file says, and every length is checked against what surrounds it. Knows no schema. One thread.
// The encoding: https://protobuf.dev/programming-guides/encoding
class WireReader {
public:
    enum class Type : uint8_t { Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5 };

    // The bytes [begin, end) of the file.
    struct Range {
        uint64_t begin = 0;
        uint64_t end = 0;
    };
    struct Field {
        uint32_t number = 0;
        Type type = Type::Varint;
        uint64_t value = 0; // Varint only
        Range content;      // Bytes only
    };
    // Why the file is none, in words: "field 7 at byte 12 reaches beyond its message".
    using Malformed = std::string;

    // Reads from `fd`, which stays the caller's, at absolute positions up to `size`.
    WireReader(int fd, uint64_t size) noexcept : fd_(fd), size_(size) {}

    [[nodiscard]] Range all() const noexcept { return {0, size_}; }
    // Takes the next field off the front of a message; nothing where the message ends.
    [[nodiscard]] std::expected<std::optional<Field>, Malformed> next(Range &message);
    // A field's bytes, at most `limit` of them.
    [[nodiscard]] std::expected<std::string, Malformed> text(const Range &content, size_t limit);

private:
    [[nodiscard]] std::expected<uint8_t, Malformed> byte(uint64_t at);
    [[nodiscard]] std::expected<uint64_t, Malformed> varint(Range &message);

    static constexpr size_t window_bytes = 4096;

    int fd_;
    uint64_t size_;
    uint64_t window_at_ = 0;
    size_t window_size_ = 0;
    std::array<uint8_t, window_bytes> window_{};
};

} // namespace hl
