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

// Of the device that this process has, as SynapseAI tells it.
inline uint64_t free_bytes()
{
    using Ask = synapse::abi::Status(uint32_t, uint64_t *, uint64_t *);
    uint64_t free = 0, total = 0;
    EXPECT_EQ(double_function<Ask>("synDeviceGetMemoryInfo")(0, &free, &total), synapse::abi::success);
    return free;
}

// Other software of this process that has the double's device.
class Framework {
public:
    Framework()
    {
        using Acquire = synapse::abi::Status(uint32_t *, uint32_t);
        uint32_t id = 1;
        EXPECT_EQ(double_function<synapse::abi::Status()>("synInitialize")(), synapse::abi::success);
        EXPECT_EQ(double_function<Acquire>("synDeviceAcquireByModuleId")(&id, 3), synapse::abi::success);
        EXPECT_EQ(id, 0u);
    }
    Framework(const Framework &) = delete;
    Framework &operator=(const Framework &) = delete;
    ~Framework()
    {
        EXPECT_TRUE(released_ || release() == synapse::abi::success);
        EXPECT_EQ(double_function<synapse::abi::Status()>("synDestroy")(), synapse::abi::success);
    }

    [[nodiscard]] synapse::abi::Status release()
    {
        const auto status = double_function<synapse::abi::Status(uint32_t)>("synDeviceRelease")(0);
        released_ = status == synapse::abi::success;
        return status;
    }

private:
    bool released_ = false;
};

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
