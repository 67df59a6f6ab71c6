// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"

#include <expected>
#include <string>

namespace gaudiemu {

// A unix socket in the file system at which one client is awaited. Takes the file away again.
class Listener {
public:
    // Errors: in words.
    [[nodiscard]] static std::expected<Listener, std::string> make(const std::string &path);
    Listener(Listener &&) = default;
    Listener &operator=(Listener &&) = delete;
    ~Listener();

    // Waits for the client. An invalid descriptor: there is none to come.
    [[nodiscard]] hl::UniqueFd accept() const;

private:
    Listener(hl::UniqueFd socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}

    hl::UniqueFd socket_;
    std::string path_;
};

} // namespace gaudiemu
