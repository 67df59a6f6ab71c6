// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scalabi.h"

#include <cstring>
#include <mutex>

struct scal_pool {
    const ScalDoublePool *memory = nullptr;
};

struct scal {
    int fd = -1;
    scal_pool global_hbm;
};

namespace {

constexpr int failure = -1; // which number the vendor gives for which cause is not known

// A process has one device.
struct Attached {
    std::mutex mutex;
    scal device;
};

Attached &attached()
{
    static Attached one;
    return one;
}

} // namespace

int scal_get_handle_from_fd(int fd, scal_handle_t *handle)
{
    Attached &a = attached();
    const std::lock_guard lock(a.mutex);
    if (!handle || fd < 0 || fd != a.device.fd)
        return failure;
    *handle = &a.device;
    return 0;
}

int scal_get_pool_handle_by_name(scal_handle_t handle, const char *name, scal_pool_handle_t *pool)
{
    Attached &a = attached();
    const std::lock_guard lock(a.mutex);
    if (handle != &a.device || a.device.fd < 0 || !name || !pool || std::strcmp(name, "global_hbm") != 0)
        return failure;
    *pool = &a.device.global_hbm;
    return 0;
}

int scal_pool_get_infoV2(scal_pool_handle_t pool, scal_memory_pool_infoV2 *info)
{
    Attached &a = attached();
    const std::lock_guard lock(a.mutex);
    if (pool != &a.device.global_hbm || !pool->memory || !info)
        return failure;
    *info = {.scal = &a.device,
             .name = "global_hbm",
             .idx = 0,
             .device_base_address = pool->memory->base,
             .host_base_address = nullptr,
             .core_base_address = 0,
             .totalSize = pool->memory->total,
             .freeSize = pool->memory->free,
             .device_base_allocated_address = pool->memory->mapping};
    return 0;
}

void scalDoubleAttach(int fd, const ScalDoublePool *pool)
{
    Attached &a = attached();
    const std::lock_guard lock(a.mutex);
    a.device = {.fd = fd, .global_hbm = {.memory = pool}};
}

void scalDoubleDetach()
{
    Attached &a = attached();
    const std::lock_guard lock(a.mutex);
    a.device = {};
}
