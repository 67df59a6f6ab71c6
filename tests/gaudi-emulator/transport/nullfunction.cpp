// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/nullfunction.h"

namespace gaudiemu {

uint64_t NullFunction::read(unsigned /*bar*/, uint64_t /*offset*/, unsigned /*size*/)
{
    return 0;
}

void NullFunction::write(unsigned /*bar*/, uint64_t /*offset*/, unsigned /*size*/, uint64_t /*value*/) {}

void NullFunction::reset() {}

} // namespace gaudiemu
