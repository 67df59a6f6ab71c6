// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/namelock.h"

#include "device/holders.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <format>
#include <string>

namespace hl::sim {
namespace {

struct Address {
    sockaddr_un address{};
    socklen_t length = 0;

    explicit Address(std::string_view name)
    {
        const std::string path = std::format("gst-habana-sim.{}", name);
        address.sun_family = AF_UNIX;
        const size_t size = std::min(path.size(), sizeof address.sun_path - 1);
        std::memcpy(address.sun_path + 1, path.data(), size); // sun_path[0] = 0: the abstract namespace
        length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
    }
    [[nodiscard]] const sockaddr *get() const noexcept { return reinterpret_cast<const sockaddr *>(&address); }
};

// Who has the name. The credentials that a connecting peer sees are those at listen(): of the process that has the
// device open, or of one that has closed it and whose exported frames hold the name (Chip), which may be this one.
std::string owner_text(const Address &address)
{
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ucred owner{};
    socklen_t size = sizeof owner;
    if (!probe || ::connect(probe.get(), address.get(), address.length) < 0 ||
        ::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size) < 0 || owner.pid == 0)
        return "is owned by another process, or held by frames that were exported from it";
    if (owner.pid == ::getpid())
        return "is held by frames that this process exported from it";
    if (::kill(owner.pid, 0) < 0 && errno == ESRCH)
        return std::format("is owned by process {} that has ended, of whose exported frames some are open elsewhere",
                           owner.pid);
    return std::format("is owned by {}, or held by frames that were exported from it", holders_text({owner.pid}));
}

} // namespace

Result<UniqueFd> lock_name(std::string_view name)
{
    const std::string device = std::format("sim:{}", name);
    const std::string operation = std::format("open {}", device);
    const Address address(name);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        const int err = errno;
        return fail(err == EMFILE || err == ENFILE ? ErrorCode::FdLimit : ErrorCode::DeviceUnusable, operation,
                    "no socket could be made to hold the name", "raise the limit of open files (ulimit -n)", err,
                    device);
    }
    if (::bind(fd.get(), address.get(), address.length) == 0 && ::listen(fd.get(), SOMAXCONN) == 0)
        return fd;
    const int err = errno;
    if (err != EADDRINUSE)
        return fail(ErrorCode::DeviceUnusable, operation, "the name could not be held",
                    "use device=sim, which is private to a process", err, device);
    return fail(ErrorCode::DeviceBusy, operation, std::format("{} {}", device, owner_text(address)),
                "end that process or close the frames that were exported from the device, or use another name or "
                "device=sim, which is private to a process",
                EBUSY, device);
}

bool leave_with(int socket, int what) noexcept
{
    char byte = 0;
    iovec one{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &one;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr *const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &what, sizeof what);
    return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

} // namespace hl::sim
