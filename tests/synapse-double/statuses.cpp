// SPDX-License-Identifier: LGPL-2.1-or-later
#include "statuses.h"

#include <algorithm>
#include <array>

namespace hl::dbl {
namespace {

struct Row {
    synStatus status;
    std::string_view name, description;
};

// Of the vendor's own descriptions only that of WrongParamsFile is known.
constexpr auto rows = std::to_array<Row>({
    {synSuccess, "synSuccess", "Success"},
    {synInvalidArgument, "synInvalidArgument", "Invalid argument"},
    {synCbFull, "synCbFull", "Command buffer is full"},
    {synOutOfHostMemory, "synOutOfHostMemory", "Out of host memory"},
    {synOutOfDeviceMemory, "synOutOfDeviceMemory", "Out of device memory"},
    {synNoDeviceFound, "synNoDeviceFound", "No device found"},
    {synDeviceTypeMismatch, "synDeviceTypeMismatch", "Device type mismatch"},
    {synDeviceReset, "synDeviceReset", "Device is in reset"},
    {synUnsupported, "synUnsupported", "Unsupported"},
    {synWrongParamsFile, "synWrongParamsFile", "Invalid Recipe file"},
    {synDeviceAlreadyAcquired, "synDeviceAlreadyAcquired", "Device already acquired"},
    {synBusy, "synBusy", "Busy"},
    {synAllResourcesTaken, "synAllResourcesTaken", "All resources are taken"},
    {synUnavailable, "synUnavailable", "Unavailable"},
    {synFail, "synFail", "General failure"},
    {synOutOfResources, "synOutOfResources", "Out of resources"},
    {synUninitialized, "synUninitialized", "Not initialized"},
    {synAlreadyInitialized, "synAlreadyInitialized", "Already initialized"},
    {synSynapseTerminated, "synSynapseTerminated", "Runtime terminated"},
    {synAssertAsync, "synAssertAsync", "Asynchronous assertion"},
    {synInvalidEventHandle, "synInvalidEventHandle", "Invalid event handle"},
    {synMappingNotFound, "synMappingNotFound", "Host memory is not mapped"},
    {synFailedToSubmitWorkload, "synFailedToSubmitWorkload", "Workload was not submitted"},
    {synInvalidSectionsDefinition, "synInvalidSectionsDefinition", "Invalid sections"},
    {synInvalidTensorProperties, "synInvalidTensorProperties", "Invalid tensor properties"},
    {synFailHccl, "synFailHccl", "Collective failed"},
    {synTimeout, "synTimeout", "Timeout"},
    {synResourceBadUsage, "synResourceBadUsage", "Resource used badly"},
    {synNullPtr, "synNullPtr", "Null pointer"},
    {synFailFuser, "synFailFuser", "Fuser failed"},
    {synFailComplexGuid, "synFailComplexGuid", "Complex GUID failed"},
    {synFailTpcKernels, "synFailTpcKernels", "TPC kernels failed"},
});

} // namespace

std::optional<int> status_named(std::string_view name)
{
    const auto at = std::ranges::find(rows, name, &Row::name);
    return at == rows.end() || at->status == synSuccess ? std::nullopt : std::optional<int>(at->status);
}

std::string_view status_description(synStatus status)
{
    const auto at = std::ranges::find(rows, status, &Row::status);
    return at == rows.end() ? "Unknown status" : at->description;
}

} // namespace hl::dbl
