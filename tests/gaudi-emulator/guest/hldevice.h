// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gaudiemu::guest {

// The accelerator's node by the kernel's ioctls and nothing else: what the emulator is tested with must not share code
// with what it tests. Every call returns 0 or a positive errno.
class HlDevice {
public:
    // EBUSY while another context lives, EAGAIN while the chip is reset. The driver releases a context, and resets the
    // chip for it, inside the last close of the node's and the frames' descriptors (device.c hpriv_release()): over
    // when close() or waitpid() returns, unless a worker of the kernel had the last one.
    [[nodiscard]] int open(const char *node = "/dev/accel/accel0");
    void close();

    struct Chip {
        uint32_t id = 0;     // of the PCI device
        uint64_t memory = 0; // where the user's HBM begins
    };
    [[nodiscard]] int chip(Chip &chip) const;
    [[nodiscard]] int status(uint32_t &status) const; // enum hl_device_status
    [[nodiscard]] int version(std::string &cpucp) const;

    [[nodiscard]] int allocate(uint64_t size, uint64_t &handle) const;
    [[nodiscard]] int release(uint64_t handle) const;
    [[nodiscard]] int map(uint64_t handle, uint64_t &address) const;
    [[nodiscard]] int map_host(void *memory, uint64_t size, uint64_t &address) const;
    [[nodiscard]] int unmap(uint64_t address) const;

    // A dma-buf of `size` bytes from `offset` of what is mapped at `address`.
    [[nodiscard]] int export_dmabuf(uint64_t address, uint64_t size, uint64_t offset, hl::UniqueFd &dmabuf) const;

    // A command buffer that lies at a device address, the Gaudi2's kind.
    [[nodiscard]] int submit(uint32_t queue, uint64_t address, uint32_t size, uint64_t &sequence) const;
    // One of the driver's own making, the first Gaudi's kind. It is copied at the submission.
    [[nodiscard]] int submit_buffer(uint32_t queue, uint64_t handle, uint32_t size, uint64_t &sequence) const;
    [[nodiscard]] int create_buffer(uint32_t size, uint64_t &handle) const;
    // Its bytes; MAP_FAILED and errno.
    [[nodiscard]] void *map_buffer(uint64_t handle, size_t size) const;
    // `outcome`: HL_WAIT_CS_STATUS_*.
    [[nodiscard]] int wait(uint64_t sequence, uint64_t microseconds, uint32_t &outcome) const;
    [[nodiscard]] int flush_inbound() const;

private:
    [[nodiscard]] int call(unsigned long request, void *arguments) const;
    [[nodiscard]] int submit_chunk(uint32_t queue, uint64_t buffer, uint32_t size, uint32_t flags,
                                   uint64_t &sequence) const;
    [[nodiscard]] int info(uint32_t op, void *into, uint32_t size) const;

    hl::UniqueFd fd_;
};

} // namespace gaudiemu::guest
