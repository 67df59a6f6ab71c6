// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/namelock.h"

#include "device/holders.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
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

// The process that listens on the name: the credentials a connecting peer sees are those at listen().
std::string owner_text(const Address &address)
{
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ucred owner{};
    socklen_t size = sizeof owner;
    if (!probe || ::connect(probe.get(), address.get(), address.length) < 0 ||
        ::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size) < 0 || owner.pid == 0)
        return "another process";
    return holders_text({owner.pid});
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
    return fail(ErrorCode::DeviceBusy, operation, std::format("{} is owned by {}", device, owner_text(address)),
                "end that process, or use another name or device=sim, which is private to a process", EBUSY, device);
}

} // namespace hl::sim
