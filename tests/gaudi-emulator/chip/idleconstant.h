// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace gaudiemu::chip {

// What a register holds while its engine is idle, in pages that the guest reaches without a trap.
struct IdleConstant {
    uint32_t reg;
    uint32_t value;
};

} // namespace gaudiemu::chip
