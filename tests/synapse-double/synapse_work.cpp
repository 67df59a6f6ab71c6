// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Entry points of libSynapse.so: streams, events, copies, recipes.
#include "runtime.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

using hl::dbl::call;
using hl::dbl::Copy;
using hl::dbl::device_call;
using hl::dbl::Event;
using hl::dbl::Gaudi;
using hl::dbl::make_launch;
using hl::dbl::Recipe;
using hl::dbl::Runtime;
using hl::dbl::Stream;
using hl::dbl::Ticket;

namespace {

std::shared_ptr<Stream> find(Runtime &runtime, synStreamHandle handle)
{
    const std::lock_guard lock(runtime.mutex());
    return runtime.streams.find(handle);
}

std::shared_ptr<Event> find(Runtime &runtime, synEventHandle handle)
{
    const std::lock_guard lock(runtime.mutex());
    return runtime.events.find(handle);
}

std::shared_ptr<Recipe> find(Runtime &runtime, synRecipeHandle handle)
{
    const std::lock_guard lock(runtime.mutex());
    return runtime.recipes.find(handle);
}

// An entry point about a stream: body(call, stream).
template <class Body>
synStatus stream_call(const char *name, synStreamHandle handle, Body &&body)
{
    return device_call(name, std::nullopt, [&](auto &c) {
        const auto stream = find(c.runtime, handle);
        return stream ? body(c, *stream) : synInvalidArgument;
    });
}

// One about an event.
template <class Body>
synStatus event_call(const char *name, synEventHandle handle, Body &&body)
{
    return device_call(name, std::nullopt, [&](auto &c) {
        const auto event = find(c.runtime, handle);
        return event ? body(c, *event) : synInvalidEventHandle;
    });
}

// One about a recipe, which needs no device.
template <class Body>
synStatus recipe_call(const char *name, synRecipeHandle handle, Body &&body)
{
    return call(name, [&](auto c) {
        const auto recipe = find(c.runtime, handle);
        return recipe ? body(c, *recipe) : synInvalidArgument;
    });
}

// Waits until the condition or the end of the device.
synStatus wait(Gaudi &gaudi, Gaudi::Lock &lock, auto condition)
{
    gaudi.change().wait(lock, [&] { return gaudi.failed(lock) || condition(); });
    return gaudi.failed(lock) ? synDeviceReset : synSuccess;
}

synStatus push_copies(Runtime::Call &c, Stream &stream, std::span<const Copy> copies)
{
    const auto lock = c.gaudi->lock();
    for (const Copy &copy : copies) {
        if (copy.bytes == 0 || copy.direction < HOST_TO_DRAM || copy.direction > DRAM_TO_DRAM)
            return synInvalidArgument;
        const uint64_t host = copy.direction == HOST_TO_DRAM ? copy.source : copy.target;
        if (copy.direction != DRAM_TO_DRAM && !c.gaudi->translate(lock, host, copy.bytes))
            return synMappingNotFound;
    }
    for (const Copy &copy : copies) {
        stream.push(lock, [copy](Gaudi::Lock &held, Stream &on) { run_copy(held, on, copy); }, c.order);
        c.order = {};
    }
    return synSuccess;
}

void fill_info(const Recipe::Tensor &tensor, uint32_t section, synRetrievedLaunchTensorInfo &info)
{
    info = {};
    std::memcpy(info.tensorName, tensor.name.c_str(), tensor.name.size() + 1);
    info.tensorId = tensor.id;
    info.tensorType = DATA_TENSOR;
    info.tensorDataType = tensor.type;
    info.tensorDims = static_cast<uint32_t>(tensor.dims.size());
    for (size_t i = 0; i < tensor.dims.size(); ++i) {
        const auto size = static_cast<uint64_t>(tensor.dims[tensor.dims.size() - 1 - i]);
        info.tensorMaxSize[i] = info.tensorMinSize[i] = size;
        info.tensorPermutation[i] = static_cast<uint8_t>(i);
    }
    info.tensorSectionId = section;
    info.isInput = tensor.input;
}

} // namespace

// --- streams and events ---

synStatus synStreamCreateGeneric(synStreamHandle *stream, synDeviceId device, uint32_t flags)
{
    return device_call("synStreamCreateGeneric", device, [&](auto &c) {
        if (!stream || flags != 0)
            return synInvalidArgument;
        auto made = Stream::create(*c.gaudi);
        if (!made)
            return synOutOfResources;
        const std::lock_guard lock(c.runtime.mutex());
        *stream = c.runtime.streams.add(std::move(made));
        return synSuccess;
    });
}

synStatus synStreamDestroy(synStreamHandle handle)
{
    return stream_call("synStreamDestroy", handle, [&](auto &c, Stream &stream) {
        if (stream.busy(c.gaudi->lock()))
            return synBusy;
        const std::lock_guard lock(c.runtime.mutex());
        (void)c.runtime.streams.take(handle);
        return synSuccess;
    });
}

synStatus synStreamWaitEvent(synStreamHandle handle, synEventHandle event_handle, uint32_t)
{
    return stream_call("synStreamWaitEvent", handle, [&](auto &c, Stream &stream) {
        const auto event = find(c.runtime, event_handle);
        if (!event)
            return synInvalidEventHandle;
        const auto lock = c.gaudi->lock();
        stream.push(lock, [ticket = event->last](Gaudi::Lock &held, Stream &on) {
            on.gaudi().change().wait(held, [&] { return !ticket || ticket->done || on.interrupted(held); });
        });
        return synSuccess;
    });
}

synStatus synStreamSynchronize(synStreamHandle handle)
{
    return stream_call("synStreamSynchronize", handle, [&](auto &c, Stream &stream) {
        auto lock = c.gaudi->lock();
        return wait(*c.gaudi, lock, [&] { return !stream.busy(lock); });
    });
}

synStatus synStreamQuery(synStreamHandle handle)
{
    return stream_call("synStreamQuery", handle,
                       [&](auto &c, Stream &stream) { return stream.busy(c.gaudi->lock()) ? synBusy : synSuccess; });
}

synStatus synEventCreate(synEventHandle *event, synDeviceId device, uint32_t flags)
{
    return device_call("synEventCreate", device, [&](auto &c) {
        if (!event || (flags & ~EVENT_COLLECT_TIME))
            return synInvalidArgument;
        const std::lock_guard lock(c.runtime.mutex());
        *event = c.runtime.events.add(std::make_shared<Event>());
        return synSuccess;
    });
}

synStatus synEventDestroy(synEventHandle handle)
{
    return event_call("synEventDestroy", handle, [&](auto &c, Event &) {
        const std::lock_guard lock(c.runtime.mutex());
        (void)c.runtime.events.take(handle);
        return synSuccess;
    });
}

synStatus synEventRecord(synEventHandle handle, synStreamHandle stream_handle)
{
    return event_call("synEventRecord", handle, [&](auto &c, Event &event) {
        const auto stream = find(c.runtime, stream_handle);
        if (!stream)
            return synInvalidArgument;
        const auto lock = c.gaudi->lock();
        event.last = std::make_shared<Ticket>();
        stream->push(lock, [ticket = event.last](Gaudi::Lock &, Stream &) { ticket->done = true; });
        return synSuccess;
    });
}

synStatus synEventQuery(synEventHandle handle)
{
    return event_call("synEventQuery", handle, [&](auto &c, Event &event) {
        const auto lock = c.gaudi->lock();
        return !event.last || event.last->done ? synSuccess : synBusy;
    });
}

synStatus synEventSynchronize(synEventHandle handle)
{
    return event_call("synEventSynchronize", handle, [&](auto &c, Event &event) {
        auto lock = c.gaudi->lock();
        const auto ticket = event.last;
        return wait(*c.gaudi, lock, [&] { return !ticket || ticket->done; });
    });
}

// --- copies ---

synStatus synMemCopyAsync(synStreamHandle handle, uint64_t source, uint64_t size, uint64_t target, synDmaDir direction)
{
    return stream_call("synMemCopyAsync", handle, [&](auto &c, Stream &stream) {
        const Copy copy{.source = source, .target = target, .bytes = size, .direction = direction};
        return push_copies(c, stream, {&copy, 1});
    });
}

synStatus synMemCopyAsyncMultiple(synStreamHandle handle, const uint64_t *sources, const uint64_t *sizes,
                                  const uint64_t *targets, synDmaDir direction, uint64_t count)
{
    return stream_call("synMemCopyAsyncMultiple", handle, [&](auto &c, Stream &stream) {
        if (!sources || !sizes || !targets || count == 0)
            return synInvalidArgument;
        std::vector<Copy> copies;
        for (uint64_t i = 0; i < count; ++i)
            copies.push_back({.source = sources[i], .target = targets[i], .bytes = sizes[i], .direction = direction});
        return push_copies(c, stream, copies);
    });
}

// --- recipes ---

synStatus synRecipeDeSerialize(synRecipeHandle *handle, const char *file)
{
    return call("synRecipeDeSerialize", [&](auto c) {
        if (!handle || !file)
            return synInvalidArgument;
        auto recipe = Recipe::load(file);
        if (!recipe)
            return recipe.error();
        if (c.runtime.acquired() && (*recipe)->chip() != synDeviceGaudi2)
            return synDeviceTypeMismatch;
        const std::lock_guard lock(c.runtime.mutex());
        *handle = c.runtime.recipes.add(std::move(*recipe));
        return synSuccess;
    });
}

synStatus synRecipeDestroy(synRecipeHandle handle)
{
    return recipe_call("synRecipeDestroy", handle, [&](auto &c, Recipe &) {
        const std::lock_guard lock(c.runtime.mutex());
        (void)c.runtime.recipes.take(handle);
        return synSuccess;
    });
}

synStatus synRecipeGetAttribute(uint64_t *values, const synRecipeAttribute *attributes, unsigned count,
                                synRecipeHandle handle)
{
    return recipe_call("synRecipeGetAttribute", handle, [&](auto &, Recipe &recipe) {
        if (!values || !attributes)
            return synInvalidArgument;
        uint64_t bytes = 0;
        for (const Recipe::Tensor &tensor : recipe.tensors())
            bytes += tensor.bytes;
        for (unsigned i = 0; i < count; ++i)
            switch (attributes[i]) {
            case RECIPE_ATTRIBUTE_WORKSPACE_SIZE:
                values[i] = recipe.workspace();
                break;
            case RECIPE_ATTRIBUTE_NUM_PERSISTENT_TENSORS:
                values[i] = recipe.tensors().size();
                break;
            case RECIPE_ATTRIBUTE_PERSISTENT_TENSORS_SIZE:
                values[i] = bytes;
                break;
            default:
                return synUnsupported;
            }
        return synSuccess;
    });
}

synStatus synWorkspaceGetSize(uint64_t *bytes, synRecipeHandle handle)
{
    return recipe_call("synWorkspaceGetSize", handle, [&](auto &, Recipe &recipe) {
        if (!bytes)
            return synInvalidArgument;
        *bytes = recipe.workspace();
        return synSuccess;
    });
}

static synStatus give_amount(const char *name, synRecipeHandle handle, uint32_t *count)
{
    return recipe_call(name, handle, [&](auto &, Recipe &recipe) {
        if (!count)
            return synInvalidArgument;
        *count = static_cast<uint32_t>(recipe.tensors().size());
        return synSuccess;
    });
}

synStatus synTensorRetrieveLaunchAmount(synRecipeHandle handle, uint32_t *count)
{
    return give_amount("synTensorRetrieveLaunchAmount", handle, count);
}

synStatus synTensorRetrievePersistentAmount(synRecipeHandle handle, uint32_t *count)
{
    return give_amount("synTensorRetrievePersistentAmount", handle, count);
}

synStatus synTensorRetrieveLaunchIds(synRecipeHandle handle, uint64_t *ids, uint32_t count)
{
    return recipe_call("synTensorRetrieveLaunchIds", handle, [&](auto &, Recipe &recipe) {
        if (!ids || count > recipe.tensors().size())
            return synInvalidArgument;
        for (uint32_t i = 0; i < count; ++i)
            ids[i] = recipe.tensors()[i].id;
        return synSuccess;
    });
}

synStatus synTensorRetrieveLaunchInfoById(synRecipeHandle handle, uint32_t count, synRetrievedLaunchTensorInfo *infos)
{
    return recipe_call("synTensorRetrieveLaunchInfoById", handle, [&](auto &, Recipe &recipe) {
        if (!infos)
            return synInvalidArgument;
        const auto &tensors = recipe.tensors();
        for (uint32_t i = 0; i < count; ++i) {
            const auto at = std::ranges::find(tensors, infos[i].tensorId, &Recipe::Tensor::id);
            if (at == tensors.end())
                return synInvalidArgument;
            fill_info(*at, static_cast<uint32_t>(at - tensors.begin()), infos[i]);
        }
        return synSuccess;
    });
}

synStatus synTensorRetrieveNames(synRecipeHandle handle, char names[][syn_name_size], uint32_t count)
{
    return recipe_call("synTensorRetrieveNames", handle, [&](auto &, Recipe &recipe) {
        if (!names || count > recipe.tensors().size())
            return synInvalidArgument;
        for (uint32_t i = 0; i < count; ++i)
            std::memcpy(names[i], recipe.tensors()[i].name.c_str(), recipe.tensors()[i].name.size() + 1);
        return synSuccess;
    });
}

synStatus synTensorRetrieveIds(synRecipeHandle handle, const char **names, uint64_t *ids, uint32_t count)
{
    return recipe_call("synTensorRetrieveIds", handle, [&](auto &, Recipe &recipe) {
        if (!names || !ids)
            return synInvalidArgument;
        for (uint32_t i = 0; i < count; ++i) {
            const auto at = std::ranges::find(recipe.tensors(), std::string(names[i]), &Recipe::Tensor::name);
            if (at == recipe.tensors().end())
                return synInvalidArgument;
            ids[i] = at->id;
        }
        return synSuccess;
    });
}

synStatus synLaunch(synStreamHandle handle, const synLaunchTensorInfo *tensors, uint32_t count, uint64_t workspace,
                    synRecipeHandle recipe_handle, uint32_t flags)
{
    return stream_call("synLaunch", handle, [&](auto &c, Stream &stream) {
        auto recipe = find(c.runtime, recipe_handle);
        if (!recipe || !tensors)
            return synInvalidArgument;
        if (recipe->chip() != synDeviceGaudi2)
            return synDeviceTypeMismatch;
        auto launch = make_launch(std::move(recipe), {tensors, count}, workspace, flags);
        if (!launch)
            return launch.error();
        stream.push(
            c.gaudi->lock(), [what = std::move(*launch)](Gaudi::Lock &held, Stream &on) { run_launch(held, on, what); },
            c.order);
        return synSuccess;
    });
}
