// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

namespace gaudiemu {

// Reads numbers one after the other; a number that lies beyond the end is not there. Host byte order, as the
// protocol's.
class ByteReader {
public:
    explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <class T>
    [[nodiscard]] std::optional<T> next()
    {
        static_assert(std::is_trivially_copyable_v<T>);
        if (bytes_.size() < sizeof(T))
            return std::nullopt;
        T value;
        std::memcpy(&value, bytes_.data(), sizeof(T));
        bytes_ = bytes_.subspan(sizeof(T));
        return value;
    }
    [[nodiscard]] std::span<const std::byte> rest() const { return bytes_; }

private:
    std::span<const std::byte> bytes_;
};

class ByteWriter {
public:
    template <class T>
    ByteWriter &put(T value)
    {
        static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);
        const auto *first = reinterpret_cast<const std::byte *>(&value);
        bytes_.insert(bytes_.end(), first, first + sizeof(T));
        return *this;
    }
    ByteWriter &put_bytes(std::span<const std::byte> bytes)
    {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        return *this;
    }
    [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

} // namespace gaudiemu
