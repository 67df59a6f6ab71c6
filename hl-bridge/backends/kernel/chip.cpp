// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/chip.h"

#include <sys/eventfd.h>

#include <utility>

namespace hl::kernel {

Chip::Chip(uint32_t device, std::string name, ChipKind kind, bool legacy, DriverOpener opener) noexcept
    : ChipState(device,
                {.name = std::move(name), .backend = "kernel", .hbm_full_remedy = "use fewer or smaller frames"},
                legacy),
      kind_(kind), opener_(std::move(opener)), changed_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{}

Result<std::shared_ptr<Chip>> Chip::create(uint32_t device, std::string name, ChipKind kind, bool legacy,
                                           DriverOpener opener)
{
    std::shared_ptr<Chip> chip(new Chip(device, std::move(name), kind, legacy, std::move(opener)));
    if (auto started = chip->start(); !started)
        return std::unexpected(std::move(started.error()));
    return chip;
}

Result<std::shared_ptr<ChipSession>> Chip::open_session()
{
    return Session::open(opener_, kind_, name());
}

void Chip::changed(const Lock &lock) noexcept
{
    wake_waiters(lock);
    if (changed_)
        (void)::eventfd_write(changed_.get(), 1);
}

void Chip::submission_ends(const Lock &lock) noexcept
{
    --in_driver_;
    ++ended_;
    wake_waiters(lock);
}

} // namespace hl::kernel
