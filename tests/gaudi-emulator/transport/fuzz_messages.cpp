// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/fuzztargets.h"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gaudiemu::test::fuzz_messages(std::as_bytes(std::span(data, size)));
    return 0;
}
