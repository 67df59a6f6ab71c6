// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/stat.h>

#include <optional>
#include <utility>

namespace hl {

// (st_dev, st_ino): what a descriptor and all its dups share, in whichever process they are.
using FileId = std::pair<dev_t, ino_t>;

[[nodiscard]] inline FileId file_id(const struct stat &st) noexcept
{
    return {st.st_dev, st.st_ino};
}

// nullopt with errno set: `fd` is no open descriptor.
[[nodiscard]] inline std::optional<FileId> file_id(int fd) noexcept
{
    struct stat st{};
    if (::fstat(fd, &st) < 0)
        return std::nullopt;
    return file_id(st);
}

} // namespace hl
