// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/chip.h"

#include <utility>

namespace hl::synapse {

Chip::Chip(uint32_t device, const Library &library, const habanalabs::ChipNode &node) noexcept
    : ChipState(device,
                {.name = node.name(),
                 .backend = "synapse",
                 .hbm_full_remedy = "use fewer or smaller frames, or give frames more memory with HL_SYNAPSE_POOL_MB"},
                node.pci.legacy),
      library_(library), node_(node)
{}

Result<std::shared_ptr<Chip>> Chip::create(uint32_t device, const Library &library, const habanalabs::ChipNode &node)
{
    std::shared_ptr<Chip> chip(new Chip(device, library, node));
    if (auto started = chip->start(); !started)
        return std::unexpected(std::move(started.error()));
    return chip;
}

Result<std::shared_ptr<habanalabs::ChipSession>> Chip::open_session()
{
    return Session::open(library_, node_);
}

} // namespace hl::synapse
