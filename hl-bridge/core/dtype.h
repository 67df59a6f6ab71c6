// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hl {

// Element type of a tensor.
enum class DType : uint8_t {
    UInt8,
    Int8,
    UInt16,
    Int16,
    UInt32,
    Int32,
    UInt64,
    Int64,
    Float16,
    BFloat16,
    Float32,
    Float64,
    Bool,
};

// Bytes of one element.
[[nodiscard]] size_t dtype_size(DType type) noexcept;
// The word `.modelinfo` files use, e.g. "float32". Static storage.
[[nodiscard]] std::string_view dtype_name(DType type) noexcept;
[[nodiscard]] std::optional<DType> dtype_from_name(std::string_view name) noexcept;

} // namespace hl
