// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"
#include "habanalabs/uapi.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

namespace hl::habanalabs {

// What a driver call answers: a value, or the errno.
template <class T>
using Sys = std::expected<T, int>;

// A node of the driver that somebody else owns and keeps open while it is used: the descriptor, and which generation
// of the driver is behind it. A value.
struct Node {
    int fd = -1;
    uapi::IoctlNumbers numbers = uapi::accel_ioctls;
};

// One ioctl, again where a signal came between. Arguments are made anew for each try: the kernel writes them back on
// failure too.
template <class Args>
[[nodiscard]] Sys<Args> node_call(int fd, unsigned long number, const Args &args)
{
    for (;;) {
        Args copy = args;
        if (::ioctl(fd, number, &copy) >= 0)
            return copy;
        if (errno != EINTR)
            return std::unexpected(errno);
    }
}

// HL_IOCTL_INFO. An older kernel leaves the tail of T zero.
template <class T>
[[nodiscard]] Sys<T> node_info(const Node &node, uapi::InfoOp op, uint32_t argument = 0)
{
    T value{};
    const uapi::InfoArgs args{.return_pointer = reinterpret_cast<uintptr_t>(&value),
                              .return_size = sizeof(value),
                              .op = op,
                              .argument = argument,
                              .pad = 0};
    if (auto done = node_call(node.fd, node.numbers.info, args); !done)
        return std::unexpected(done.error());
    return value;
}

// uapi::Status. Also of a control node, and of a device that is not operational.
[[nodiscard]] Sys<uint32_t> device_status(const Node &node);
// Whether a device with this status is gone for whoever has it open, and the status in words.
[[nodiscard]] bool status_says_lost(uint32_t status) noexcept;
[[nodiscard]] std::string_view status_text(uint32_t status) noexcept;
// Who uses the compute node now. Likewise.
[[nodiscard]] Sys<uapi::OpenStats> open_stats(const Node &node);
// Of a compute node: a dma-buf of `bytes` at `offset` into the mapping that begins at `address` (Gaudi: the physical
// address of the bytes, and no offset).
[[nodiscard]] Sys<UniqueFd> export_memory(const Node &node, uint64_t address, uint64_t bytes, uint64_t offset);
// Of a compute node: reads a register of the chip, behind which no earlier write on the bus stays
// (command_submission.c cs_ioctl_flush_pci_hbw_writes). No queue takes part, nothing is to be waited for, and who else
// submits through the descriptor is not disturbed. EOPNOTSUPP: a chip that needs none.
[[nodiscard]] Sys<void> flush_inbound_writes(const Node &node);
// Open files of an exported dma-buf in all processes and importers: "count:" of /proc/self/fdinfo/N, which is opened
// with open(2) and read at once (dma-buf.c dma_buf_show_fdinfo). nullopt where the kernel does not say.
[[nodiscard]] std::optional<uint64_t> open_files(int dmabuf);

} // namespace hl::habanalabs
