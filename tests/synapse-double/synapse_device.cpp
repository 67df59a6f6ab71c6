// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Entry points of libSynapse.so: the runtime, the device, memory.
#include "runtime.h"
#include "statuses.h"
#include "version.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

using hl::PciGaudi;
using hl::dbl::call;
using hl::dbl::device_call;
using hl::dbl::Gaudi;
using hl::dbl::Runtime;

namespace {

// FALSE: it does not fit.
bool give_text(char *to, size_t length, std::string_view text)
{
    if (!to || length <= text.size())
        return false;
    std::memcpy(to, text.data(), text.size());
    to[text.size()] = '\0';
    return true;
}

std::vector<PciGaudi> gaudis()
{
    auto all = hl::find_pci_gaudis(hl::sysfs_root());
    std::erase_if(all, [](const PciGaudi &gaudi) { return gaudi.accel < 0 || gaudi.legacy; });
    return all;
}

// What the PCI id says (habanalabs_drv.c).
synDeviceType type_of(const PciGaudi &gaudi)
{
    return gaudi.device == 0x1020 || gaudi.device == 0x1021   ? synDeviceGaudi2
           : gaudi.device == 0x1060 || gaudi.device == 0x1063 ? synDeviceGaudi3
                                                              : synDeviceGaudi;
}

synStatus acquire(Runtime &runtime, synDeviceId *device, Gaudi::By by, auto wanted)
{
    if (!device)
        return synInvalidArgument;
    const auto all = gaudis();
    const auto at = std::ranges::find_if(all, wanted);
    const synStatus status =
        at == all.end() ? runtime.acquired() ? synDeviceAlreadyAcquired : synNoDeviceFound : runtime.acquire(*at, by);
    if (status == synSuccess)
        *device = 0; // always (G3SW device_manager.cpp)
    else if (status != synDeviceAlreadyAcquired)
        *device = UINT32_MAX;
    return status;
}

void fill_info(const Gaudi &gaudi, auto &info)
{
    const auto &hw = gaudi.hw();
    info = {};
    info.sramBaseAddress = hw.sram_base_address;
    info.dramBaseAddress = hw.dram_base_address;
    info.sramSize = hw.sram_size;
    info.dramSize = hw.dram_size;
    info.tpcEnabledMask = hw.tpc_enabled_mask_ext & 0xFFFFFF;
    info.dramEnabled = hw.dram_enabled;
    info.deviceId = hw.module_id; // G3SW osal_linux.cpp _getDeviceInfo
    info.fd = gaudi.fd();
}

// UCX asks for device -1, and gets whichever is there.
std::optional<synDeviceId> any_or(synDeviceId id)
{
    return id == UINT32_MAX ? std::nullopt : std::optional(id);
}

} // namespace

// --- the runtime ---

synStatus synInitialize()
{
    return Runtime::instance().initialize();
}

synStatus synDestroy()
{
    return call("synDestroy", [](auto c) { return c.runtime.destroy(); });
}

synStatus synDriverGetVersion(char *version, const int length)
{
    return give_text(version, static_cast<size_t>(std::max(length, 0)), hl::dbl::version_text) ? synSuccess
                                                                                               : synInvalidArgument;
}

synStatus synStatusGetBriefDescription(synStatus status, char *text, size_t length)
{
    constexpr size_t longest = 56; // STATUS_DESCRIPTION_MAX_SIZE
    return length >= longest && give_text(text, length, hl::dbl::status_description(status)) ? synSuccess
                                                                                             : synInvalidArgument;
}

// --- the device ---

synStatus synDeviceGetCount(uint32_t *count)
{
    return call("synDeviceGetCount", [&](auto) {
        if (!count)
            return synInvalidArgument;
        *count = static_cast<uint32_t>(gaudis().size());
        return synSuccess;
    });
}

synStatus synDeviceGetCountByDeviceType(uint32_t *count, synDeviceType type)
{
    return call("synDeviceGetCountByDeviceType", [&](auto) {
        if (!count)
            return synInvalidArgument;
        *count = static_cast<uint32_t>(std::ranges::count(gaudis(), type, type_of));
        return synSuccess;
    });
}

synStatus synDeviceGetModuleIDs(uint32_t *ids, uint32_t *size)
{
    return call("synDeviceGetModuleIDs", [&](auto) {
        const auto all = gaudis();
        if (!ids || !size || *size < all.size()) // G3SW device_manager.cpp deviceGetModuleIds
            return synInvalidArgument;
        for (size_t i = 0; i < all.size(); ++i)
            ids[i] = static_cast<uint32_t>(all[i].module);
        *size = static_cast<uint32_t>(all.size());
        return synSuccess;
    });
}

synStatus synDeviceAcquireByDeviceType(synDeviceId *device, synDeviceType type)
{
    return call("synDeviceAcquireByDeviceType", [&](auto c) {
        const auto all = gaudis();
        if (!all.empty() && !std::ranges::contains(all, type, type_of))
            return synDeviceTypeMismatch; // G3SW osal_linux.cpp deviceInfoSet
        return acquire(c.runtime, device, Gaudi::By::Type, [&](const auto &gaudi) { return type_of(gaudi) == type; });
    });
}

synStatus synDeviceAcquireByModuleId(synDeviceId *device, synModuleId module)
{
    return call("synDeviceAcquireByModuleId", [&](auto c) {
        return acquire(c.runtime, device, Gaudi::By::Module, [&](const auto &gaudi) {
            return gaudi.module >= 0 && static_cast<uint32_t>(gaudi.module) == module;
        });
    });
}

synStatus synDeviceAcquire(synDeviceId *device, const char *pci_bus)
{
    return call("synDeviceAcquire", [&](auto c) {
        if (!pci_bus || !*pci_bus)
            return acquire(c.runtime, device, Gaudi::By::Type, [](const auto &) { return true; });
        return acquire(c.runtime, device, Gaudi::By::Pci, [&](const auto &gaudi) { return gaudi.address == pci_bus; });
    });
}

synStatus synDeviceRelease(synDeviceId device)
{
    return call("synDeviceRelease", [&](auto c) { return device == 0 ? c.runtime.release() : synInvalidArgument; });
}

synStatus synDeviceGetInfo(synDeviceId device, synDeviceInfo *info)
{
    return device_call("synDeviceGetInfo", any_or(device), [&](auto &c) {
        if (!info)
            return synInvalidArgument;
        fill_info(*c.gaudi, *info);
        return synSuccess;
    });
}

synStatus synDeviceGetInfoV2(synDeviceId device, synDeviceInfoV2 *info)
{
    return device_call("synDeviceGetInfoV2", any_or(device), [&](auto &c) {
        if (!info)
            return synInvalidArgument;
        fill_info(*c.gaudi, *info);
        info->deviceType = synDeviceGaudi2;
        info->deviceIndex = static_cast<uint8_t>(c.gaudi->pci().accel);
        if (std::getenv("HL_DBL_TELLS_HBM_BASE"))
            info->globalHbmBaseAddress = c.gaudi->hbm(c.gaudi->lock()).mapping();
        return synSuccess;
    });
}

synStatus synDeviceGetName(char *name, const int length, synDeviceId device)
{
    return device_call("synDeviceGetName", device, [&](auto &) {
        return give_text(name, static_cast<size_t>(std::max(length, 0)), "SynapseAI double") ? synSuccess
                                                                                             : synInvalidArgument;
    });
}

synStatus synDeviceGetPCIBusId(char *address, const int length, synDeviceId device)
{
    return device_call("synDeviceGetPCIBusId", device, [&](auto &c) {
        return give_text(address, static_cast<size_t>(std::max(length, 0)), c.gaudi->pci().address)
                   ? synSuccess
                   : synInvalidArgument;
    });
}

// --- memory ---

synStatus synDeviceGetMemoryInfo(synDeviceId device, uint64_t *free, uint64_t *total)
{
    return device_call("synDeviceGetMemoryInfo", device, [&](auto &c) {
        if (!free || !total)
            return synInvalidArgument;
        const auto lock = c.gaudi->lock();
        *free = c.gaudi->hbm(lock).free_bytes();
        *total = c.gaudi->hbm(lock).size();
        return synSuccess;
    });
}

synStatus synDeviceMalloc(synDeviceId device, uint64_t size, uint64_t, uint32_t flags, uint64_t *buffer)
{
    return device_call("synDeviceMalloc", device, [&](auto &c) {
        if (!buffer || size == 0 || flags != 0)
            return synInvalidArgument;
        const auto address = c.gaudi->allocate(c.gaudi->lock(), size);
        *buffer = address.value_or(0);
        return address ? synSuccess : synOutOfDeviceMemory;
    });
}

synStatus synDeviceFree(synDeviceId device, uint64_t buffer, uint32_t flags)
{
    return device_call("synDeviceFree", device, [&](auto &c) {
        return flags == 0 && c.gaudi->free(c.gaudi->lock(), buffer) ? synSuccess : synInvalidArgument;
    });
}

synStatus synHostMalloc(synDeviceId device, uint64_t size, uint32_t flags, void **buffer)
{
    return device_call("synHostMalloc", device, [&](auto &c) {
        if (!buffer || size == 0 || flags != 0)
            return synInvalidArgument;
        auto lock = c.gaudi->lock();
        const auto made = c.gaudi->host_malloc(lock, size);
        *buffer = made.value_or(nullptr);
        return made ? synSuccess : made.error();
    });
}

synStatus synHostFree(synDeviceId device, const void *buffer, uint32_t)
{
    return device_call("synHostFree", device, [&](auto &c) { return c.gaudi->host_free(c.gaudi->lock(), buffer); });
}

synStatus synHostMap(synDeviceId device, uint64_t size, const void *buffer)
{
    return device_call("synHostMap", device, [&](auto &c) {
        auto lock = c.gaudi->lock();
        return c.gaudi->map_host(lock, reinterpret_cast<uintptr_t>(buffer), size);
    });
}

synStatus synHostUnmap(synDeviceId device, const void *buffer)
{
    return device_call("synHostUnmap", device, [&](auto &c) {
        auto lock = c.gaudi->lock();
        return c.gaudi->unmap_host(lock, reinterpret_cast<uintptr_t>(buffer));
    });
}

void synapseDoubleHold(bool held)
{
    if (const auto gaudi = Runtime::instance().acquired())
        gaudi->hold(held);
}
