// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/chipfaults.h"

namespace gaudiemu::chip {

// How an emulated chip of either kind behaves; settled when it is made.
struct ChipSettings {
    bool null = false; // completes every job and moves nothing: the negative control of tests
    ChipFaults faults;
    bool quiet = false; // nothing on stderr
};

} // namespace gaudiemu::chip
