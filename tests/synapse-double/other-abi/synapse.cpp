// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A double that is wrong on purpose: libSynapse.so as of 2021 (HabanaAI/SynapseAI_Core), which shares names with
// today's and little else. There are streams of a kind, five 32-bit sizes to a tensor and no id; there are no events,
// no recipes from files, no synDeviceGetInfoV2. Whoever calls it as if it were today's gets a status of failure, and no
// memory is touched.
#include <cstdint>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int success = 0, failure = 26;

} // namespace

struct synLaunchTensorInfo { // of 2021
    const char *tensorName;
    uint64_t pTensorAddress;
    int tensorType;
    uint32_t tensorSize[5];
};

EXPORT int synInitialize()
{
    return success;
}

EXPORT int synDestroy()
{
    return success;
}

EXPORT int synDriverGetVersion(char *version, const int length)
{
    constexpr char text[] = "0.15.4";
    if (!version || length < static_cast<int>(sizeof text))
        return failure;
    std::memcpy(version, text, sizeof text);
    return success;
}

#define SYN_REFUSED(name, arguments)                                                                                   \
    EXPORT int name arguments                                                                                          \
    {                                                                                                                  \
        return failure;                                                                                                \
    }

SYN_REFUSED(synDeviceGetCount, (uint32_t *))
SYN_REFUSED(synDeviceAcquire, (uint32_t *, const char *))
SYN_REFUSED(synDeviceAcquireByDeviceType, (uint32_t *, int))
SYN_REFUSED(synDeviceRelease, (uint32_t))
SYN_REFUSED(synDeviceGetInfo, (uint32_t, void *))
SYN_REFUSED(synDeviceMalloc, (uint32_t, uint64_t, uint64_t, uint32_t, uint64_t *))
SYN_REFUSED(synDeviceFree, (uint32_t, uint64_t, uint32_t))
SYN_REFUSED(synHostMap, (uint32_t, uint64_t, const void *))
SYN_REFUSED(synHostUnmap, (uint32_t, const void *))
SYN_REFUSED(synStreamCreate, (void **, uint32_t, uint32_t, uint32_t)) // with a kind
SYN_REFUSED(synStreamDestroy, (void *))
SYN_REFUSED(synStreamSynchronize, (void *))
SYN_REFUSED(synMemCopyAsync, (void *, uint64_t, uint64_t, uint64_t, int))
SYN_REFUSED(synLaunch, (void *, const synLaunchTensorInfo *, uint32_t, uint64_t, void *, uint32_t))
SYN_REFUSED(synWorkspaceGetSize, (uint64_t *, void *))
SYN_REFUSED(synRecipeDestroy, (void *))
