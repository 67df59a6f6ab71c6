// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/session.h"
#include "habanalabs/chipstate.h"

#include <memory>
#include <string>

namespace hl::kernel {

// A chip that the driver alone is asked for, with what its two DMA queues share in the driver.
class Chip final : public ChipState {
public:
    // Errors: as Session::open().
    [[nodiscard]] static Result<std::shared_ptr<Chip>> create(uint32_t device, std::string name, ChipKind kind,
                                                              bool legacy, DriverOpener opener);

    [[nodiscard]] ChipKind kind() const noexcept { return kind_; }
    // nullptr after a loss.
    [[nodiscard]] std::shared_ptr<Session> session(const Lock &lock) const noexcept
    {
        return std::static_pointer_cast<Session>(current_session(lock));
    }

    // What the queues together have in the driver, whose room they share. The waiters are notified also when a
    // submission ends.
    void submission_begins(const Lock &) noexcept { ++in_driver_; }
    void submission_ends(const Lock &lock) noexcept;
    [[nodiscard]] size_t in_driver(const Lock &) const noexcept { return in_driver_; }
    [[nodiscard]] uint64_t submissions_ended(const Lock &) const noexcept { return ended_; }

    // An eventfd that is readable when session, generation or closing have changed. Invalid where none could be had.
    [[nodiscard]] int changed_fd() const noexcept { return changed_.get(); }

private:
    Chip(uint32_t device, std::string name, ChipKind kind, bool legacy, DriverOpener opener) noexcept;

    [[nodiscard]] Result<std::shared_ptr<ChipSession>> open_session() override;
    void changed(const Lock &lock) noexcept override;

    const ChipKind kind_;
    const DriverOpener opener_;
    UniqueFd changed_;
    size_t in_driver_ = 0;
    uint64_t ended_ = 0;
};

} // namespace hl::kernel
