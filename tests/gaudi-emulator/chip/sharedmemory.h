// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>

namespace gaudiemu::chip {

// A sparse memfd and its mapping: memory that the guest maps too. Pages cost nothing until they are written to.
class SharedMemory {
public:
    [[nodiscard]] static std::expected<SharedMemory, std::string> make(const std::string &name, uint64_t size);
    SharedMemory(SharedMemory &&other) noexcept;
    SharedMemory &operator=(SharedMemory &&) = delete;
    ~SharedMemory();

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] uint64_t size() const noexcept { return size_; }
    [[nodiscard]] std::byte *data() const noexcept { return data_; }

    // Zeroes; whole pages are given back to the system, here and in the guest's mapping.
    void clear(uint64_t offset, uint64_t size) const;
    // Bytes that the system really holds for it.
    [[nodiscard]] uint64_t resident() const;

private:
    SharedMemory(hl::UniqueFd fd, std::byte *data, uint64_t size) : fd_(std::move(fd)), data_(data), size_(size) {}

    hl::UniqueFd fd_;
    std::byte *data_ = nullptr;
    uint64_t size_ = 0;
};

} // namespace gaudiemu::chip
