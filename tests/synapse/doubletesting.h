// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "../unit/simtest.h"
#include "backends/synapse/abi.h"
#include "device/device.h"

#include <gtest/gtest.h>

#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <string>

// What the tests share that drive the SynapseAI backend over the double of tests/synapse-double, on its played node.
namespace hl::test {

inline constexpr const char *gaudi_address = "0000:4d:00.0"; // of tests/synapse-double/sysfs

// A function of the double, as a framework in this process would call it.
template <class Function>
Function *double_function(const char *name)
{
    static void *const library =
        ::dlopen((std::string(std::getenv("HL_SYNAPSE_DIR")) + "/libSynapse.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    void *const found = library ? ::dlsym(library, name) : nullptr;
    if (!found) {
        ADD_FAILURE() << "the double has no " << name;
        std::abort();
    }
    return reinterpret_cast<Function *>(found);
}

// While it lives, streams of the double begin no work.
class StreamsHeld {
public:
    StreamsHeld() { hold(true); }
    StreamsHeld(const StreamsHeld &) = delete;
    StreamsHeld &operator=(const StreamsHeld &) = delete;
    ~StreamsHeld() { hold(false); }

private:
    static void hold(bool held) { double_function<void(bool)>("synapseDoubleHold")(held); }
};

inline std::shared_ptr<Device> open_double(const char *spec = "synapse:accel0")
{
    auto device = Device::open(spec);
    if (!device) {
        ADD_FAILURE() << device.error().details();
        std::abort();
    }
    return *device;
}

} // namespace hl::test
