// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/session.h"
#include "habanalabs/chipstate.h"

#include <memory>

namespace hl::synapse {

using habanalabs::Allocation;

// A chip that is had through SynapseAI.
class Chip final : public habanalabs::ChipState {
public:
    // Errors: as Session::open().
    [[nodiscard]] static Result<std::shared_ptr<Chip>> create(uint32_t device, const Library &library,
                                                              const habanalabs::ChipNode &node);

    // nullptr after a loss.
    [[nodiscard]] std::shared_ptr<Session> session(const Lock &lock) const noexcept
    {
        return std::static_pointer_cast<Session>(current_session(lock));
    }

private:
    Chip(uint32_t device, const Library &library, const habanalabs::ChipNode &node) noexcept;

    [[nodiscard]] Result<std::shared_ptr<habanalabs::ChipSession>> open_session() override;

    const Library library_;
    const habanalabs::ChipNode node_;
};

} // namespace hl::synapse
