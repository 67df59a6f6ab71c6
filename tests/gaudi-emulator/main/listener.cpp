// SPDX-License-Identifier: LGPL-2.1-or-later
#include "main/listener.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <format>

namespace gaudiemu {

std::expected<Listener, std::string> Listener::make(const std::string &path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path))
        return std::unexpected(
            std::format("'{}' is no path for a socket: 1 to {} bytes", path, sizeof(address.sun_path) - 1));
    std::memcpy(address.sun_path, path.data(), path.size());
    hl::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof(address)) != 0 ||
        ::listen(socket.get(), 1) != 0)
        return std::unexpected(std::format("{}: {}", path, std::strerror(errno)));
    return Listener(std::move(socket), path);
}

Listener::~Listener()
{
    if (socket_)
        ::unlink(path_.c_str());
}

hl::UniqueFd Listener::accept() const
{
    int client = -1;
    do
        client = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    while (client < 0 && errno == EINTR);
    return hl::UniqueFd(client);
}

} // namespace gaudiemu
