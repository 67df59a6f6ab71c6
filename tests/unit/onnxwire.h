// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Writes ONNX files by hand, down to the byte (protobuf's encoding; field numbers of onnx.proto).
namespace hl::test::wire {

inline std::string varint(uint64_t value)
{
    std::string out;
    for (; value >= 0x80; value >>= 7)
        out += static_cast<char>(0x80 | (value & 0x7f));
    return out + static_cast<char>(value);
}
inline std::string number(uint32_t field, uint64_t value)
{
    return varint(field << 3) + varint(value);
}
inline std::string bytes(uint32_t field, std::string_view content)
{
    return varint(field << 3 | 2) + varint(content.size()) + std::string(content);
}
inline std::string pair(std::string_view key, std::string_view value)
{
    return bytes(1, key) + bytes(2, value);
}

// TensorProto of three floats whose data lies elsewhere.
inline std::string external_tensor(std::string_view location, std::string_view more = {})
{
    return number(1, 3) + number(2, 1) + bytes(8, "t") + bytes(13, pair("location", location)) + std::string(more) +
           number(14, 1);
}
inline std::string model_of(std::string_view graph)
{
    return number(1, 8) + bytes(7, graph);
}
inline std::string node_with(std::string_view attribute)
{
    return bytes(4, "Identity") + bytes(5, attribute);
}

} // namespace hl::test::wire
