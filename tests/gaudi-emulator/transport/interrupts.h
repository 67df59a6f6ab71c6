// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"
#include "pcifunction.h"

#include <cstdint>
#include <expected>
#include <mutex>
#include <vector>

namespace gaudiemu {

// The event descriptors by which a function's interrupts reach the guest. Only the kind that the function has (MSI or
// MSI-X) has vectors. Thread safe.
class Interrupts {
public:
    explicit Interrupts(const ConfigSpaceInit &init);

    // Of one of the kinds of <linux/vfio.h>, VFIO_PCI_INTX_IRQ_INDEX and so on.
    struct Info {
        uint32_t flags = 0;
        uint32_t count = 0;
    };
    // Errors: EINVAL, there is no such kind.
    [[nodiscard]] std::expected<Info, int> info(uint32_t index) const;

    // What VFIO_DEVICE_SET_IRQS does: connects vectors from `start` on to `fds`, or disconnects `count` of them, or all
    // (count 0), or raises them. `fds` has `count` descriptors or none. Errors: EINVAL; ENOTSUP for masking, which QEMU
    // does itself.
    [[nodiscard]] std::expected<void, int> set(uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                                               std::vector<hl::UniqueFd> fds);

    // Nothing happens where no descriptor is connected.
    void raise(unsigned vector);
    void disconnect_all();

private:
    void raise_locked(unsigned vector);
    void connect_locked(uint32_t vector, hl::UniqueFd fd);
    void disconnect_all_locked();

    const uint32_t index_; // the kind that has vectors
    const uint32_t count_;
    std::mutex mutex_;
    std::vector<hl::UniqueFd> vectors_;
};

} // namespace gaudiemu
