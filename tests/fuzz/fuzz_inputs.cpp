// SPDX-License-Identifier: LGPL-2.1-or-later

// fuzz_inputs --target=NAME [libFuzzer's arguments]: one of fuzz_targets.
#include "fuzztargets.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

const hl::test::FuzzTarget *target = nullptr;

} // namespace

extern "C" int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    constexpr std::string_view option = "--target=";
    for (const std::string_view argument : std::span(*argv, static_cast<size_t>(*argc)))
        if (argument.starts_with(option))
            target =
                std::ranges::find(hl::test::fuzz_targets, argument.substr(option.size()), &hl::test::FuzzTarget::name);
    if (!target || target == hl::test::fuzz_targets.end()) {
        std::fputs("--target= is missing, or names no target of fuzztargets.h\n", stderr);
        std::exit(1);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target->run(std::as_bytes(std::span(data, size)));
    return 0;
}
