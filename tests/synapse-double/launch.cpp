// SPDX-License-Identifier: LGPL-2.1-or-later
#include "launch.h"

#include <algorithm>
#include <cstring>
#include <format>
#include <string_view>
#include <utility>

namespace hl::dbl {
namespace {

constexpr uint64_t scribble = 64 << 10;

uint64_t aligned(uint64_t bytes)
{
    return (bytes + 63) & ~uint64_t{63};
}

// The runtime looks at the sizes of tensors of static shape as little as its callers like: zeros are none.
bool sizes_fit(const Recipe::Tensor &tensor, const synLaunchTensorInfo &info)
{
    if (std::ranges::all_of(info.tensorSize, [](uint64_t size) { return size == 0; }))
        return true;
    for (size_t i = 0; i < tensor.dims.size(); ++i)
        if (info.tensorSize[i] != static_cast<uint64_t>(tensor.dims[tensor.dims.size() - 1 - i]))
            return false;
    return true;
}

// Moves all inputs, or all outputs, between HBM and the staging. 0 or an errno.
int move_tensors(Stream &stream, const Launch &launch, uint64_t staging, bool inputs)
{
    for (size_t i = 0; i < launch.addresses.size(); ++i) {
        const Recipe::Tensor &tensor = launch.recipe->tensors()[i];
        if (tensor.input == inputs) {
            const uint64_t hbm = launch.addresses[i];
            if (const int err =
                    stream.copier().copy(inputs ? hbm : staging, inputs ? staging : hbm, tensor.bytes, inputs))
                return err;
        }
        staging += aligned(tensor.bytes);
    }
    return 0;
}

int scribble_over(Stream &stream, const Launch &launch, const Staging &staging, uint64_t offset)
{
    const uint64_t bytes = std::min(scribble, launch.recipe->workspace());
    std::memset(staging.bytes().data() + offset, 0xA5, bytes);
    if (const int err = stream.copier().copy(staging.address() + offset, launch.workspace, bytes, false))
        return err;
    return stream.copier().copy(staging.address() + offset, launch.workspace + launch.recipe->workspace() - bytes,
                                bytes, false);
}

// What went wrong; empty: nothing. Without the lock.
std::string compute(Stream &stream, const Launch &launch)
{
    std::vector<std::byte *> places;
    uint64_t bytes = 0;
    for (const Recipe::Tensor &tensor : launch.recipe->tensors())
        bytes += aligned(tensor.bytes);
    Staging *const staging = stream.staging(bytes + scribble);
    if (!staging)
        return "no host memory could be had for a launch";
    for (uint64_t offset = 0; const Recipe::Tensor &tensor : launch.recipe->tensors()) {
        places.push_back(staging->bytes().data() + offset);
        offset += aligned(tensor.bytes);
    }
    if (const int err = move_tensors(stream, launch, staging->address(), true))
        return std::format("reading inputs ended with errno {}", err);
    if (!launch.recipe->run(places))
        return "the graph could not be computed";
    if (const int err = move_tensors(stream, launch, staging->address(), false))
        return std::format("writing outputs ended with errno {}", err);
    if (launch.recipe->workspace() > 0)
        if (const int err = scribble_over(stream, launch, *staging, bytes))
            return std::format("writing the workspace ended with errno {}", err);
    return {};
}

} // namespace

std::expected<Launch, synStatus> make_launch(std::shared_ptr<Recipe> recipe,
                                             std::span<const synLaunchTensorInfo> tensors, uint64_t workspace,
                                             uint32_t flags)
{
    const auto &known = recipe->tensors();
    if ((flags & ~SYN_FLAGS_TENSOR_NAME) || tensors.size() != known.size() ||
        (recipe->workspace() > 0 && workspace == 0))
        return std::unexpected(synInvalidArgument);
    std::vector<uint64_t> addresses(known.size());
    for (const synLaunchTensorInfo &info : tensors) {
        const bool by_name = flags & SYN_FLAGS_TENSOR_NAME;
        const auto at = std::ranges::find_if(known, [&](const Recipe::Tensor &t) {
            return by_name ? info.tensorName && t.name == info.tensorName : t.id == info.tensorId;
        });
        if (at == known.end() || info.pTensorAddress == 0)
            return std::unexpected(synInvalidArgument);
        uint64_t &address = addresses[static_cast<size_t>(at - known.begin())];
        if (std::exchange(address, info.pTensorAddress) != 0)
            return std::unexpected(synInvalidArgument);
        if (info.tensorType != DATA_TENSOR || !sizes_fit(*at, info))
            return std::unexpected(synInvalidTensorProperties);
    }
    return Launch{.recipe = std::move(recipe), .addresses = std::move(addresses), .workspace = workspace};
}

void run_launch(Gaudi::Lock &lock, Stream &stream, const Launch &launch)
{
    Gaudi &gaudi = stream.gaudi();
    const HbmPool &hbm = gaudi.hbm(lock);
    for (size_t i = 0; i < launch.addresses.size(); ++i) {
        const Recipe::Tensor &tensor = launch.recipe->tensors()[i];
        if (!hbm.holds(launch.addresses[i], tensor.bytes))
            return gaudi.fail(lock, std::format("tensor {} at {:#x} reaches memory that is not there", tensor.name,
                                                launch.addresses[i]));
    }
    if (launch.recipe->workspace() > 0 && !hbm.holds(launch.workspace, launch.recipe->workspace()))
        return gaudi.fail(lock, std::format("the workspace at {:#x} is too small, or not there", launch.workspace));
    lock.unlock();
    const std::string wrong = compute(stream, launch);
    lock.lock();
    if (!wrong.empty())
        gaudi.fail(lock, wrong);
}

} // namespace hl::dbl
