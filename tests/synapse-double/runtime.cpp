// SPDX-License-Identifier: LGPL-2.1-or-later
#include "runtime.h"

#include "statuses.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace hl::dbl {
namespace {

#define SYN_NAME(name, arguments) #name,
constexpr auto function_names = std::to_array<std::string_view>({SYNAPSE_DOUBLE_FUNCTIONS(SYN_NAME)});
#undef SYN_NAME
// What has work that goes on after the call.
constexpr std::array<std::string_view, 3> timed_names{"synMemCopyAsync", "synMemCopyAsyncMultiple", "synLaunch"};

bool complain(const char *setting, const std::string &why)
{
    std::fprintf(stderr, "SynapseAI double: %s: %s\n", setting, why.c_str());
    return false;
}

} // namespace

Runtime &Runtime::instance()
{
    // Never destroyed: a process may exit with its device acquired and threads that call.
    static auto *const runtime = new Runtime;
    return *runtime;
}

bool Runtime::read_settings()
{
    const char *faults = std::getenv("HL_DBL_FAULTS");
    const std::string text = faults ? faults : "";
    if (faults_ != text) {
        auto orders = Orders::parse(text, {.names = function_names, .timed = timed_names, .code = status_named});
        if (!orders)
            return complain("HL_DBL_FAULTS", orders.error());
        orders_ = std::move(*orders);
        faults_ = text;
    }
    const char *failure = std::getenv("HL_DBL_ON_FAILURE");
    const std::string_view on_failure = failure ? failure : "status";
    if (on_failure != "status" && on_failure != "kill")
        return complain("HL_DBL_ON_FAILURE", "status or kill was expected");
    kill_on_failure_ = on_failure == "kill";
    return true;
}

synStatus Runtime::initialize()
{
    const std::lock_guard lock(mutex_);
    if (!gaudi_ && !read_settings())
        return synInvalidArgument;
    if (initialized_)
        return synSuccess; // without HABANA_DISABLE_DOUBLE_SYN_INITIALIZE
    if (const auto code = orders_.next("synInitialize").code)
        return static_cast<synStatus>(*code);
    initialized_ = true;
    return synSuccess;
}

synStatus Runtime::destroy()
{
    if (acquired())
        if (const synStatus status = release(); status != synSuccess)
            return status;
    const std::lock_guard lock(mutex_);
    recipes.take_all();
    initialized_ = false;
    return synSuccess;
}

std::expected<Order, synStatus> Runtime::enter(const char *name)
{
    std::shared_ptr<Gaudi> gaudi;
    {
        const std::lock_guard lock(mutex_);
        if (!initialized_)
            return std::unexpected(synUninitialized);
        gaudi = gaudi_;
    }
    Order order = orders_.next(name);
    if (order.lost && gaudi)
        gaudi->fail(gaudi->lock(), std::string("ordered at ") + name);
    if (order.code)
        return std::unexpected(static_cast<synStatus>(*order.code));
    return order;
}

std::shared_ptr<Gaudi> Runtime::acquired()
{
    const std::lock_guard lock(mutex_);
    return gaudi_;
}

std::expected<std::shared_ptr<Gaudi>, synStatus> Runtime::device()
{
    auto gaudi = acquired();
    if (!gaudi)
        return std::unexpected(synFail); // G3SW device_manager.cpp getDeviceInfo, allocateDeviceMemory
    if (gaudi->failed(gaudi->lock()))
        return std::unexpected(synDeviceReset);
    return gaudi;
}

std::expected<std::shared_ptr<Gaudi>, synStatus> Runtime::device(synDeviceId id)
{
    if (id != 0)
        return std::unexpected(synInvalidArgument);
    return device();
}

synStatus Runtime::acquire(const PciGaudi &pci, Gaudi::By by)
{
    const std::lock_guard lock(mutex_);
    if (gaudi_)
        return synDeviceAlreadyAcquired;
    auto gaudi = Gaudi::acquire(pci, by, kill_on_failure_);
    if (!gaudi)
        return gaudi.error();
    gaudi_ = std::move(*gaudi);
    return synSuccess;
}

// G3SW device_manager.cpp releaseDevice: without a device NoDeviceFound; Fail while a call of another thread is on.
synStatus Runtime::release()
{
    std::shared_ptr<Gaudi> gaudi;
    std::map<synStreamHandle, std::shared_ptr<Stream>> streams_of_it;
    std::map<synEventHandle, std::shared_ptr<Event>> events_of_it;
    {
        const std::lock_guard lock(mutex_);
        if (!gaudi_)
            return synNoDeviceFound;
        if (gaudi_.use_count() > 1)
            return synFail;
        gaudi = std::move(gaudi_);
        streams_of_it = streams.take_all();
        events_of_it = events.take_all();
    }
    streams_of_it.clear(); // their threads end here
    const int err = gaudi->give_back();
    if (err == 0 || gaudi->failed(gaudi->lock()))
        return synSuccess;
    std::fprintf(stderr, "SynapseAI double: the device is released while memory of it is exported (errno %d)\n", err);
    return synFail;
}

} // namespace hl::dbl
