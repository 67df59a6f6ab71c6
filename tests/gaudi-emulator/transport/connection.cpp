// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/connection.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace gaudiemu {
namespace {

// Room for the descriptors of one message, aligned as the kernel wants it.
struct ControlBuffer {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(vfio::max_fds * sizeof(int))> bytes;
};

// Takes charge of the descriptors in a received control message.
void adopt_fds(msghdr &received, std::vector<hl::UniqueFd> &fds)
{
    for (cmsghdr *control = CMSG_FIRSTHDR(&received); control; control = CMSG_NXTHDR(&received, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
            fds.emplace_back(fd);
        }
    }
}

} // namespace

bool Connection::receive_header(Message &message)
{
    std::array<std::byte, vfio::header_size> bytes;
    size_t got = 0;
    while (got < bytes.size()) {
        ControlBuffer control;
        iovec part{.iov_base = bytes.data() + got, .iov_len = bytes.size() - got};
        msghdr received{};
        received.msg_iov = &part;
        received.msg_iovlen = 1;
        received.msg_control = control.bytes.data();
        received.msg_controllen = control.bytes.size();
        const auto count = ::recvmsg(socket_.get(), &received, MSG_CMSG_CLOEXEC);
        if (count < 0 && errno == EINTR)
            continue;
        if (count > 0)
            adopt_fds(received, message.fds);
        if (count <= 0 || (received.msg_flags & MSG_CTRUNC) != 0 || message.fds.size() > vfio::max_fds)
            return false;
        got += static_cast<size_t>(count);
    }
    const auto header = vfio::parse_header(bytes);
    if (header)
        message.header = *header;
    return header.has_value();
}

// Descriptors that come with these bytes are none of the message's: the kernel closes what nobody has room for.
bool Connection::receive_payload(std::vector<std::byte> &payload)
{
    size_t got = 0;
    while (got < payload.size()) {
        const auto count = ::recv(socket_.get(), payload.data() + got, payload.size() - got, MSG_WAITALL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        got += static_cast<size_t>(count);
    }
    return true;
}

std::optional<Connection::Message> Connection::receive()
{
    Message message;
    if (!receive_header(message))
        return std::nullopt;
    message.payload.resize(message.header.size - vfio::header_size);
    if (!receive_payload(message.payload))
        return std::nullopt;
    return message;
}

void Connection::send(std::span<const std::byte> message, int fd)
{
    const std::lock_guard lock(sending_);
    while (!message.empty()) {
        ControlBuffer control;
        iovec part{.iov_base = const_cast<std::byte *>(message.data()), .iov_len = message.size()};
        msghdr out{};
        out.msg_iov = &part;
        out.msg_iovlen = 1;
        if (fd >= 0) {
            out.msg_control = control.bytes.data();
            out.msg_controllen = CMSG_SPACE(sizeof(int));
            auto *header = CMSG_FIRSTHDR(&out);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
        }
        const auto count = ::sendmsg(socket_.get(), &out, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return;
        fd = -1; // it went with the first byte
        message = message.subspan(static_cast<size_t>(count));
    }
}

void Connection::shut_down()
{
    ::shutdown(socket_.get(), SHUT_RDWR);
}

} // namespace gaudiemu
