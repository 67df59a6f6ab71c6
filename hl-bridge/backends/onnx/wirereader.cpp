// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/wirereader.h"

#include "core/error.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>

namespace hl {

std::expected<uint8_t, WireReader::Malformed> WireReader::byte(uint64_t at)
{
    if (at >= window_at_ && at - window_at_ < window_size_)
        return window_[at - window_at_];
    ssize_t got = 0;
    do
        got = ::pread(fd_, window_.data(), std::min<uint64_t>(window_bytes, size_ - at), static_cast<off_t>(at));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return std::unexpected(std::format("byte {} cannot be read: {}", at, errno_text(errno)));
    if (got == 0)
        return std::unexpected(std::format("it became shorter than {} bytes while it was read", size_));
    window_at_ = at;
    window_size_ = static_cast<size_t>(got);
    return window_[0];
}

std::expected<uint64_t, WireReader::Malformed> WireReader::varint(Range &message)
{
    const uint64_t begin = message.begin;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (message.begin >= message.end)
            return std::unexpected(std::format("it ends in the middle of a number at byte {}", begin));
        const auto next = byte(message.begin);
        if (!next)
            return std::unexpected(next.error());
        ++message.begin;
        value |= uint64_t{*next & 0x7fu} << shift;
        if (*next < 0x80)
            return value;
    }
    return std::unexpected(std::format("the number at byte {} has more than 64 bits", begin));
}

std::expected<std::optional<WireReader::Field>, WireReader::Malformed> WireReader::next(Range &message)
{
    if (message.begin >= message.end)
        return std::optional<Field>();
    const uint64_t begin = message.begin;
    const auto tag = varint(message);
    if (!tag)
        return std::unexpected(tag.error());
    const uint64_t number = *tag >> 3;
    if (number == 0 || number > UINT32_MAX >> 3)
        return std::unexpected(std::format("there is no field at byte {}", begin));
    Field field{.number = static_cast<uint32_t>(number), .type = static_cast<Type>(*tag & 7)};
    uint64_t length = 0;
    switch (field.type) {
    case Type::Varint: {
        const auto value = varint(message);
        if (!value)
            return std::unexpected(value.error());
        field.value = *value;
        return field;
    }
    case Type::Fixed64:
        length = 8;
        break;
    case Type::Fixed32:
        length = 4;
        break;
    case Type::Bytes: {
        const auto said = varint(message);
        if (!said)
            return std::unexpected(said.error());
        length = *said;
        break;
    }
    default:
        return std::unexpected(std::format("field {} at byte {} is of no known kind", number, begin));
    }
    if (length > message.end - message.begin)
        return std::unexpected(std::format("field {} at byte {} has {} bytes, and {} are left", number, begin, length,
                                           message.end - message.begin));
    field.content = {message.begin, message.begin + length};
    message.begin += length;
    return field;
}

std::expected<std::string, WireReader::Malformed> WireReader::text(const Range &content, size_t limit)
{
    if (content.end - content.begin > limit)
        return std::unexpected(
            std::format("the text at byte {} has {} bytes", content.begin, content.end - content.begin));
    std::string out;
    for (uint64_t at = content.begin; at < content.end; ++at) {
        const auto next = byte(at);
        if (!next)
            return std::unexpected(next.error());
        out += static_cast<char>(*next);
    }
    return out;
}

} // namespace hl
