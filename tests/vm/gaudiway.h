// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdlib>
#include <string>

// The way to the emulated Gaudi that a test program is built for: the kernel's driver alone, or (HL_TEST_SYNAPSE) the
// SynapseAI backend over the double of the vendor's runtime, which itself goes through that driver.
namespace hl::test {

#ifdef HL_TEST_SYNAPSE
inline constexpr bool through_synapse = true;
inline constexpr const char *gaudi_spec = "synapse";
#else
inline constexpr bool through_synapse = false;
inline constexpr const char *gaudi_spec = "auto";
#endif

// Before the first device is opened, in each process.
inline void find_double()
{
    if (const char *const build = std::getenv("HL_BUILD_DIR"); build && through_synapse)
        ::setenv("HL_SYNAPSE_DIR", (std::string(build) + "/tests/synapse-double").c_str(), 1);
}

} // namespace hl::test
