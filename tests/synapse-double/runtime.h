// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gaudi.h"
#include "launch.h"
#include "orders.h"
#include "stream.h"
#include "synapseabi.h"

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>

namespace hl::dbl {

// Objects behind the handles that the caller has. Not thread safe.
template <class Handle, class T>
class Handles {
public:
    Handle add(std::shared_ptr<T> object)
    {
        const auto handle = reinterpret_cast<Handle>(object.get());
        objects_[handle] = std::move(object);
        return handle;
    }
    // nullptr: there is none.
    [[nodiscard]] std::shared_ptr<T> find(Handle handle) const
    {
        const auto at = objects_.find(handle);
        return at == objects_.end() ? nullptr : at->second;
    }
    std::shared_ptr<T> take(Handle handle)
    {
        const auto node = objects_.extract(handle);
        return node ? std::move(node.mapped()) : nullptr;
    }
    std::map<Handle, std::shared_ptr<T>> take_all() { return std::exchange(objects_, {}); }

private:
    std::map<Handle, std::shared_ptr<T>> objects_;
};

// What the process has of the runtime: whether it is initialised, its one device, and what handles name. Thread safe.
class Runtime {
public:
    // What a call works with; `gaudi` is there where the call needs a device that works.
    struct Call {
        Runtime &runtime;
        Order order;
        std::shared_ptr<Gaudi> gaudi{};
    };

    [[nodiscard]] static Runtime &instance();

    // Reads the settings, also again, unless a device is acquired. Errors: InvalidArgument for one that is malformed
    // (ours).
    [[nodiscard]] synStatus initialize();
    [[nodiscard]] synStatus destroy();

    // Counts the call; what is ordered for it, or the status that it ends with at once.
    [[nodiscard]] std::expected<Order, synStatus> enter(const char *name);
    // The acquired device. Errors: Fail where there is none, DeviceReset after its failure, InvalidArgument for a
    // number that is none (ours).
    [[nodiscard]] std::expected<std::shared_ptr<Gaudi>, synStatus> device(synDeviceId id);
    [[nodiscard]] std::expected<std::shared_ptr<Gaudi>, synStatus> device();
    [[nodiscard]] std::shared_ptr<Gaudi> acquired();

    [[nodiscard]] synStatus acquire(const PciGaudi &pci, Gaudi::By by);
    [[nodiscard]] synStatus release();

    // Guards the handles.
    [[nodiscard]] std::mutex &mutex() noexcept { return mutex_; }
    Handles<synStreamHandle, Stream> streams;
    Handles<synEventHandle, Event> events;
    Handles<synRecipeHandle, Recipe> recipes;

private:
    // FALSE: one is malformed, which was told.
    [[nodiscard]] bool read_settings();

    std::mutex mutex_;
    bool initialized_ = false, kill_on_failure_ = false;
    std::optional<std::string> faults_; // what orders_ was read from
    Orders orders_;
    std::shared_ptr<Gaudi> gaudi_;
};

// Runs the body of an entry point: body(call) with the order that was given for it. No exception leaves.
template <class Body>
synStatus call(const char *name, Body &&body) noexcept
{
    try {
        Runtime &runtime = Runtime::instance();
        auto order = runtime.enter(name);
        if (!order)
            return order.error();
        return body(Runtime::Call{.runtime = runtime, .order = *order});
    } catch (const std::bad_alloc &) {
        return synOutOfHostMemory;
    } catch (...) {
        return synFail;
    }
}

// The same for one that needs a device that works: the one with this number, or whichever there is.
template <class Body>
synStatus device_call(const char *name, std::optional<synDeviceId> id, Body &&body) noexcept
{
    return call(name, [&](Runtime::Call c) -> synStatus {
        auto gaudi = id ? c.runtime.device(*id) : c.runtime.device();
        if (!gaudi)
            return gaudi.error();
        c.gaudi = std::move(*gaudi);
        return body(c);
    });
}

} // namespace hl::dbl
