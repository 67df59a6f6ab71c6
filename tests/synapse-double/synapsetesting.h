// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "../unit/temporarydir.h"
#include "core/uniquefd.h"
#include "habanalabs/nodecalls.h"
#include "node/playednode.h"
#include "scalabi.h"
#include "synapseabi.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace hl::test {

// A library, loaded as hl-bridge loads it. Closed never, as there.
class Library {
public:
    explicit Library(const std::string &path) : handle_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL))
    {
        if (!handle_)
            throw std::runtime_error(::dlerror());
    }
    [[nodiscard]] void *symbol(const char *name) const { return ::dlsym(handle_, name); }
    template <class Function>
    void resolve(Function *&function, const char *name) const
    {
        function = reinterpret_cast<Function *>(symbol(name));
        if (!function)
            throw std::runtime_error(name);
    }

private:
    void *handle_;
};

inline std::string double_folder()
{
    return std::getenv("HL_DBL_FOLDER");
}

// The functions of the double's libSynapse.so and libscal.so.
struct Synapse {
    Synapse() : library(double_folder() + "/libSynapse.so"), scal(double_folder() + "/libscal.so")
    {
#define SYN_RESOLVE(function, arguments) library.resolve(function, #function);
        SYNAPSE_DOUBLE_FUNCTIONS(SYN_RESOLVE)
#undef SYN_RESOLVE
        library.resolve(hold, "synapseDoubleHold");
        scal.resolve(scal_get_handle_from_fd, "scal_get_handle_from_fd");
        scal.resolve(scal_get_pool_handle_by_name, "scal_get_pool_handle_by_name");
        scal.resolve(scal_pool_get_infoV2, "scal_pool_get_infoV2");
    }

    Library library, scal;
#define SYN_POINTER(function, arguments) decltype(::function) *function = nullptr;
    SYNAPSE_DOUBLE_FUNCTIONS(SYN_POINTER)
#undef SYN_POINTER
    decltype(::synapseDoubleHold) *hold = nullptr;
    decltype(::scal_get_handle_from_fd) *scal_get_handle_from_fd = nullptr;
    decltype(::scal_get_pool_handle_by_name) *scal_get_pool_handle_by_name = nullptr;
    decltype(::scal_pool_get_infoV2) *scal_pool_get_infoV2 = nullptr;

    [[nodiscard]] scal_memory_pool_infoV2 pool(int fd) const
    {
        scal_handle_t handle = nullptr;
        scal_pool_handle_t found = nullptr;
        scal_memory_pool_infoV2 info{};
        EXPECT_EQ(scal_get_handle_from_fd(fd, &handle), 0);
        EXPECT_EQ(scal_get_pool_handle_by_name(handle, "global_hbm", &found), 0);
        EXPECT_EQ(scal_pool_get_infoV2(found, &info), 0);
        return info;
    }
};

inline UniqueFd open_control()
{
    return UniqueFd(::open(dbl::PlayedNode::control_path, O_RDWR | O_CLOEXEC));
}

inline uint32_t status_of(int control)
{
    const auto status = habanalabs::device_status({.fd = control});
    EXPECT_TRUE(status);
    return status.value_or(99);
}

// The runtime, initialised; the device is acquired by who needs it. All is given back at the end.
class SynapseTest : public testing::Test {
protected:
    void SetUp() override { ASSERT_EQ(syn.synInitialize(), synSuccess); }
    void TearDown() override
    {
        syn.hold(false);
        EXPECT_EQ(syn.synDestroy(), synSuccess);
    }

    void acquire() { ASSERT_EQ(syn.synDeviceAcquireByModuleId(&device, dbl::PlayedNode::module_id), synSuccess); }
    // Begins anew with these orders.
    void order(const std::string &faults)
    {
        ASSERT_EQ(syn.synDestroy(), synSuccess);
        ::setenv("HL_DBL_FAULTS", "", 1);
        ASSERT_EQ(syn.synInitialize(), synSuccess); // forgets what was counted
        ASSERT_EQ(syn.synDestroy(), synSuccess);
        ::setenv("HL_DBL_FAULTS", faults.c_str(), 1);
        ASSERT_EQ(syn.synInitialize(), synSuccess);
    }
    [[nodiscard]] int node_fd()
    {
        synDeviceInfoV2 info{};
        EXPECT_EQ(syn.synDeviceGetInfoV2(device, &info), synSuccess);
        return info.fd;
    }
    [[nodiscard]] uint64_t allocate(uint64_t bytes)
    {
        uint64_t address = 0;
        EXPECT_EQ(syn.synDeviceMalloc(device, bytes, 0, 0, &address), synSuccess);
        return address;
    }
    [[nodiscard]] synStreamHandle new_stream()
    {
        synStreamHandle stream = nullptr;
        EXPECT_EQ(syn.synStreamCreateGeneric(&stream, device, 0), synSuccess);
        return stream;
    }
    [[nodiscard]] synEventHandle new_event()
    {
        synEventHandle event = nullptr;
        EXPECT_EQ(syn.synEventCreate(&event, device, 0), synSuccess);
        return event;
    }
    [[nodiscard]] synRecipeHandle recipe(const std::string &name)
    {
        synRecipeHandle handle = nullptr;
        EXPECT_EQ(syn.synRecipeDeSerialize(&handle, recipe_file(name).c_str()), synSuccess);
        return handle;
    }
    [[nodiscard]] static std::string recipe_file(const std::string &name)
    {
        return double_folder() + "/recipes/" + name + ".recipe";
    }

    static Synapse &runtime()
    {
        static Synapse one;
        return one;
    }

    ScopedEnv no_faults{"HL_DBL_FAULTS", ""}, no_node_faults{"HL_NODE_FAULTS", ""};
    Synapse &syn = runtime();
    synDeviceId device = 99;
};

// Host pages, mapped for the device while they live.
class Mapped {
public:
    Mapped(Synapse &syn, size_t bytes, uint8_t fill = 0) : syn_(syn), bytes_(bytes, fill)
    {
        EXPECT_EQ(syn_.synHostMap(0, bytes, bytes_.data()), synSuccess);
    }
    ~Mapped() { (void)syn_.synHostUnmap(0, bytes_.data()); } // refused after a failure or a release
    Mapped(const Mapped &) = delete;
    Mapped &operator=(const Mapped &) = delete;

    [[nodiscard]] uint64_t address() const { return reinterpret_cast<uintptr_t>(bytes_.data()); }
    std::vector<uint8_t> &bytes() { return bytes_; }

private:
    Synapse &syn_;
    std::vector<uint8_t> bytes_;
};

} // namespace hl::test
