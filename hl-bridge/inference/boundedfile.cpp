// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/boundedfile.h"

#include "core/uniquefd.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <format>

namespace hl {

Result<std::string> read_bounded_file(const std::string &path, size_t limit, ErrorCode missing, ErrorCode invalid,
                                      const std::string &what)
{
    const std::string operation = "read " + what;
    const std::string remedy = "check the path and its permissions";
    // O_NONBLOCK: opening a pipe that nobody writes must not wait.
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) {
        const int e = errno;
        return fail(missing, operation, std::format("cannot open the {} {}: {}", what, path, errno_text(e)), remedy, e);
    }
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode))
        return fail(missing, operation,
                    std::format("{} is {}, not a file", path, S_ISDIR(st.st_mode) ? "a directory" : "a special file"),
                    std::format("give the path of the {}", what));
    if (static_cast<uint64_t>(st.st_size) > limit)
        return fail(invalid, operation,
                    std::format("{} has {} bytes, a {} has at most {}", path, st.st_size, what, limit),
                    std::format("check that {} is a {}", path, what));
    // Files of procfs say that they are empty.
    const size_t most = std::min(limit, std::max(static_cast<size_t>(st.st_size), size_t{65536}));
    std::string text(most + 1, '\0');
    size_t got = 0;
    while (got < text.size()) {
        const ssize_t n = ::read(fd.get(), text.data() + got, text.size() - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            const int e = errno;
            return fail(missing, operation, std::format("cannot read the {} {}: {}", what, path, errno_text(e)), remedy,
                        e);
        }
        if (n == 0)
            break;
        got += static_cast<size_t>(n);
    }
    if (got > most)
        return fail(invalid, operation, std::format("{} has more than {} bytes", path, most),
                    std::format("check that {} is a {}", path, what));
    text.resize(got);
    return text;
}

} // namespace hl
