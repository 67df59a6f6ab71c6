// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/driver.h"
#include "core/error.h"
#include "habanalabs/chipnode.h"

#include <memory>
#include <string>

namespace hl::kernel {

// Opens the compute node of a chip, waiting out a reset or a release (openladder.h), and makes sure that it is the
// habanalabs driver's. Errors: those of open_error().
[[nodiscard]] Result<std::unique_ptr<Driver>> open_node(const ChipNode &chip);

} // namespace hl::kernel
