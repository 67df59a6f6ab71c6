// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"
#include "transport/message.h"

#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

namespace gaudiemu {

// A stream socket that carries vfio-user messages and descriptors. One thread receives; any thread sends or shuts down.
class Connection {
public:
    explicit Connection(hl::UniqueFd socket) : socket_(std::move(socket)) {}

    struct Message {
        vfio::Header header;
        std::vector<std::byte> payload;
        std::vector<hl::UniqueFd> fds;
    };
    // Waits for a whole message. nullopt: the client has gone, or what it says is no message; nothing more will come.
    [[nodiscard]] std::optional<Message> receive();

    // Sends a whole message, with a descriptor that stays the caller's if `fd` is one. A client that has gone is
    // receive()'s to notice.
    void send(std::span<const std::byte> message, int fd = -1);

    // Ends receive(), now or when it is called.
    void shut_down();

private:
    [[nodiscard]] bool receive_header(Message &message);
    [[nodiscard]] bool receive_payload(std::vector<std::byte> &payload);

    const hl::UniqueFd socket_;
    std::mutex sending_;
};

} // namespace gaudiemu
