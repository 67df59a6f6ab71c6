// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/dtype.h"

#include <algorithm>
#include <array>

namespace hl {
namespace {

struct Row {
    DType type;
    size_t size;
    std::string_view name;
};

constexpr std::array rows{
    Row{DType::UInt8, 1, "uint8"},       Row{DType::Int8, 1, "int8"},       Row{DType::UInt16, 2, "uint16"},
    Row{DType::Int16, 2, "int16"},       Row{DType::UInt32, 4, "uint32"},   Row{DType::Int32, 4, "int32"},
    Row{DType::UInt64, 8, "uint64"},     Row{DType::Int64, 8, "int64"},     Row{DType::Float16, 2, "float16"},
    Row{DType::BFloat16, 2, "bfloat16"}, Row{DType::Float32, 4, "float32"}, Row{DType::Float64, 8, "float64"},
    Row{DType::Bool, 1, "bool"},
};
static_assert(rows.size() == static_cast<size_t>(DType::Bool) + 1, "one row per DType");

} // namespace

size_t dtype_size(DType type) noexcept
{
    return rows[static_cast<size_t>(type)].size;
}

std::string_view dtype_name(DType type) noexcept
{
    return rows[static_cast<size_t>(type)].name;
}

std::optional<DType> dtype_from_name(std::string_view name) noexcept
{
    const auto row = std::ranges::find(rows, name, &Row::name);
    if (row == rows.end())
        return std::nullopt;
    return row->type;
}

} // namespace hl
