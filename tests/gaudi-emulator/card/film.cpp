// SPDX-License-Identifier: LGPL-2.1-or-later
#include "film.h"

#include "core/uniquefd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <format>
#include <regex>

namespace gaudiemu {

void Film::Unmap::operator()(const std::byte *memory) const
{
    munmap(const_cast<std::byte *>(memory), bytes);
}

std::expected<Film, std::string> Film::open(const std::string &description)
{
    std::smatch parts;
    static const std::regex pattern("(.+):(.{4}):([0-9]{1,4})x([0-9]{1,4})");
    if (!std::regex_match(description, parts, pattern)) {
        return std::unexpected(std::format("{} is not FILE:FOURCC:WIDTHxHEIGHT", description));
    }
    const std::string path = parts[1], format = parts[2];
    const auto number = [&](size_t i) { return static_cast<uint32_t>(std::stoul(parts[i])); };
    auto picture = Picture::packed(HL_CARD_FOURCC(format[0], format[1], format[2], format[3]), number(3), number(4));
    if (!picture) {
        return std::unexpected(
            std::format("{} of {}x{} is no picture of the capture card's", format, number(3), number(4)));
    }
    const hl::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!fd || fstat(fd.get(), &status) != 0) {
        return std::unexpected(std::format("{}: {}", path, std::strerror(errno)));
    }
    const auto bytes = static_cast<size_t>(status.st_size) / picture->bytes * picture->bytes;
    void *const memory = bytes == 0 ? MAP_FAILED : mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) {
        return std::unexpected(std::format("{} holds no frame of {} bytes", path, picture->bytes));
    }
    return Film(std::move(*picture), Memory(static_cast<const std::byte *>(memory), Unmap{bytes}));
}

std::span<const std::byte> Film::frame(uint32_t number) const
{
    const uint64_t frames = memory_.get_deleter().bytes / picture_.bytes;
    return {memory_.get() + number % frames * picture_.bytes, picture_.bytes};
}

} // namespace gaudiemu
