// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/interrupts.h"

#include <linux/vfio.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace gaudiemu {
namespace {

constexpr uint32_t action_trigger_with_eventfd = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD;
constexpr uint32_t action_trigger_without_data = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE;

uint32_t vectors_of(const ConfigSpaceInit &init)
{
    return std::visit([](const auto &capability) -> uint32_t { return capability.vectors; }, init.interrupts);
}

} // namespace

Interrupts::Interrupts(const ConfigSpaceInit &init)
    : index_(std::holds_alternative<MsiCapability>(init.interrupts) ? VFIO_PCI_MSI_IRQ_INDEX : VFIO_PCI_MSIX_IRQ_INDEX),
      count_(vectors_of(init)), vectors_(count_)
{}

std::expected<Interrupts::Info, int> Interrupts::info(uint32_t index) const
{
    if (index >= VFIO_PCI_NUM_IRQS)
        return std::unexpected(EINVAL);
    // Without NORESIZE the client connects MSI-X vectors one by one as the guest unmasks them.
    const uint32_t flags =
        index == VFIO_PCI_MSI_IRQ_INDEX ? VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE : VFIO_IRQ_INFO_EVENTFD;
    return Info{.flags = flags, .count = index == index_ ? count_ : 0};
}

std::expected<void, int> Interrupts::set(uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                                         std::vector<hl::UniqueFd> fds)
{
    const uint32_t has = index == index_ ? count_ : 0;
    if (index >= VFIO_PCI_NUM_IRQS || start > has || count > has - start)
        return std::unexpected(EINVAL);
    if (flags != action_trigger_with_eventfd && flags != action_trigger_without_data)
        return std::unexpected(ENOTSUP);
    const std::lock_guard lock(mutex_);
    if (flags == action_trigger_without_data && count == 0) {
        if (has != 0)
            disconnect_all_locked();
    } else if (flags == action_trigger_without_data) {
        for (uint32_t i = 0; i < count; ++i)
            raise_locked(start + i);
    } else {
        for (uint32_t i = 0; i < count; ++i)
            connect_locked(start + i, fds.empty() ? hl::UniqueFd() : std::move(fds[i]));
    }
    return {};
}

void Interrupts::raise(unsigned vector)
{
    const std::lock_guard lock(mutex_);
    raise_locked(vector);
}

void Interrupts::raise_locked(unsigned vector)
{
    const uint64_t once = 1;
    // What may fail here is the client's business: a descriptor that is no eventfd, or a counter at its end.
    if (vector < vectors_.size() && vectors_[vector]) [[maybe_unused]]
        const auto written = ::write(vectors_[vector].get(), &once, sizeof(once));
}

void Interrupts::connect_locked(uint32_t vector, hl::UniqueFd fd)
{
    // QEMU's are so already. What else might come here must not stop the device.
    if (fd && ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0)
        fd.reset();
    vectors_[vector] = std::move(fd);
}

void Interrupts::disconnect_all()
{
    const std::lock_guard lock(mutex_);
    disconnect_all_locked();
}

void Interrupts::disconnect_all_locked()
{
    for (auto &vector : vectors_)
        vector.reset();
}

} // namespace gaudiemu
