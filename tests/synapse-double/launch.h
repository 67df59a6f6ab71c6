// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "recipe.h"
#include "stream.h"

#include <memory>
#include <span>
#include <vector>

namespace hl::dbl {

// One run of a recipe.
struct Launch {
    std::shared_ptr<Recipe> recipe;
    std::vector<uint64_t> addresses; // of the recipe's tensors, in its order
    uint64_t workspace = 0;
};

// From synLaunch's arguments. Errors: InvalidArgument (a tensor is unknown, missing, or there twice; no workspace where
// one is needed), InvalidTensorProperties (a size that differs from the recipe's).
[[nodiscard]] std::expected<Launch, synStatus> make_launch(std::shared_ptr<Recipe> recipe,
                                                           std::span<const synLaunchTensorInfo> tensors,
                                                           uint64_t workspace, uint32_t flags);

// As work of a stream: reads the inputs by DMA, computes, writes the outputs by DMA, and last of all over both ends of
// the workspace, as a chip might at any time, so that memory that is wrongly shared with it shows.
void run_launch(Gaudi::Lock &lock, Stream &stream, const Launch &launch);

} // namespace hl::dbl
