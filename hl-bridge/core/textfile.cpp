// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/textfile.h"

#include "core/uniquefd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <format>
#include <utility>

namespace hl {
namespace {

constexpr mode_t everybody = 0666; // less the umask
constexpr mode_t everything = 0777;

std::unexpected<Error> failed(const std::string &path, int err)
{
    return fail(ErrorCode::FileWrite, "write file", std::format("cannot write {}: {}", path, errno_text(err)),
                "check the path, its permissions and the room on its disk", err);
}

// 0 or the errno; takes the descriptor over, because a full disk may show at the close only (close(2): NFS, quota).
int write_and_close(UniqueFd fd, std::string_view text)
{
    if (!fd)
        return errno;
    while (!text.empty()) {
        const ssize_t n = ::write(fd.get(), text.data(), text.size());
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0)
            text.remove_prefix(static_cast<size_t>(n));
    }
    return ::close(fd.release()) < 0 ? errno : 0;
}

// A file that was not there before: its name can be guessed, and what somebody put there is not to be written to.
UniqueFd make_file(const std::string &path, mode_t mode)
{
    const auto make = [&] {
        return UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    };
    UniqueFd fd = make();
    if (!fd && errno == EEXIST) {
        if (::unlink(path.c_str()) == 0)
            return make();
        errno = EEXIST; // which says more than why it stays
    }
    return fd;
}

Status write_in_place(const std::string &path, std::string_view text, int how)
{
    if (const int err =
            write_and_close(UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | how, everybody)), text))
        return failed(path, err);
    return {};
}

} // namespace

Status write_text_file(const std::string &path, std::string_view text)
{
    struct stat st{};
    const bool there = ::lstat(path.c_str(), &st) == 0;
    if (there && !S_ISREG(st.st_mode))
        return write_in_place(path, text, O_TRUNC);
    const std::string aside = std::format("{}.{}-{}", path, ::getpid(), ::gettid());
    UniqueFd fd = make_file(aside, there ? st.st_mode & everything : everybody);
    int err = fd ? 0 : errno;
    if (fd) {
        if (there && ::fchmod(fd.get(), st.st_mode & everything) < 0) // the umask took some away
            err = errno;
        if (err == 0)
            err = write_and_close(std::move(fd), text);
        if (err == 0 && ::rename(aside.c_str(), path.c_str()) < 0)
            err = errno;
        if (err != 0)
            ::unlink(aside.c_str());
    }
    if (err == 0)
        return {};
    if (there && (err == EBUSY || err == EACCES))
        return write_in_place(path, text, O_TRUNC);
    return failed(path, err);
}

Status append_text_file(const std::string &path, std::string_view text)
{
    return write_in_place(path, text, O_APPEND);
}

} // namespace hl
