// SPDX-License-Identifier: LGPL-2.1-or-later
//
// libhabananode.so: puts PlayedNode in the place of /dev/accel/accel0 and accel_controlD0, and of what procfs tells of
// their dma-bufs, for the program that preloads or links it. Definitions go by their symbols, because <fcntl.h>
// declares open() as open64() where files are large.
#include "node/playednode.h"

#include <dlfcn.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <optional>

#define INTERPOSE(symbol) __asm__(symbol) __attribute__((visibility("default")))

extern "C" {
int played_open(const char *path, int flags, ...) INTERPOSE("open");
int played_open64(const char *path, int flags, ...) INTERPOSE("open64");
int played_open_2(const char *path, int flags) INTERPOSE("__open_2");
int played_open64_2(const char *path, int flags) INTERPOSE("__open64_2");
int played_ioctl(int fd, unsigned long number, ...) INTERPOSE("ioctl");
}

namespace {

using hl::dbl::PlayedNode;

constexpr const char *fdinfo = "/proc/self/fdinfo/";
constexpr int close_on_exec = 02000000; // O_CLOEXEC, asm-generic/fcntl.h

template <class Function>
Function *next(const char *symbol)
{
    return reinterpret_cast<Function *>(::dlsym(RTLD_NEXT, symbol));
}

// As the system calls do.
int answer(int result)
{
    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

std::optional<int> open_node(const char *path, int flags)
{
    if (std::strncmp(path, fdinfo, std::strlen(fdinfo)) == 0) {
        const auto played = PlayedNode::instance().open_fdinfo(std::atoi(path + std::strlen(fdinfo)));
        return played ? std::optional(answer(*played)) : std::nullopt;
    }
    const bool control = std::strcmp(path, PlayedNode::control_path) == 0;
    if (!control && std::strcmp(path, PlayedNode::compute_path) != 0)
        return std::nullopt;
    return answer(PlayedNode::instance().open(control, flags & close_on_exec));
}

int open_with_mode(const char *symbol, const char *path, int flags, unsigned mode)
{
    if (const auto node = open_node(path, flags))
        return *node;
    return next<int(const char *, int, ...)>(symbol)(path, flags, mode);
}

int open_checked(const char *symbol, const char *path, int flags)
{
    if (const auto node = open_node(path, flags))
        return *node;
    return next<int(const char *, int)>(symbol)(path, flags);
}

// asm-generic/ioctl.h: the type in bits 8 to 15.
bool is_drm(unsigned long number)
{
    return (number >> 8 & 0xff) == 'd';
}

} // namespace

int played_open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    const unsigned mode = va_arg(rest, unsigned); // a register that may hold anything where no mode was given
    va_end(rest);
    return open_with_mode("open", path, flags, mode);
}

int played_open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    const unsigned mode = va_arg(rest, unsigned);
    va_end(rest);
    return open_with_mode("open64", path, flags, mode);
}

int played_open_2(const char *path, int flags)
{
    return open_checked("__open_2", path, flags);
}

int played_open64_2(const char *path, int flags)
{
    return open_checked("__open64_2", path, flags);
}

int played_ioctl(int fd, unsigned long number, ...)
{
    va_list rest;
    va_start(rest, number);
    void *const argument = va_arg(rest, void *);
    va_end(rest);
    if (is_drm(number))
        if (const auto result = PlayedNode::instance().ioctl(fd, number, argument))
            return answer(*result);
    return next<int(int, unsigned long, ...)>("ioctl")(fd, number, argument);
}
