// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

// The part of libscal.so that leads from the runtime's descriptor to the driver's mapping behind its HBM (HCL
// hcl/src/infra/scal/gen2_arch_common/scal_wrapper.cpp:503-520, UCX src/uct/gaudi/base/gaudi_base.c). 0 is success. The
// double's libSynapse links it, as the vendor's does.

#define SCAL_DOUBLE_API extern "C" __attribute__((visibility("default")))

struct scal;
struct scal_pool;
using scal_handle_t = scal *;
using scal_pool_handle_t = scal_pool *;

struct scal_memory_pool_infoV2 {
    scal_handle_t scal;
    const char *name;
    unsigned idx;
    uint64_t device_base_address;
    void *host_base_address;
    uint32_t core_base_address;
    uint64_t totalSize;
    uint64_t freeSize;
    uint64_t device_base_allocated_address; // of the driver's mapping that the pool is part of
};
static_assert(sizeof(scal_memory_pool_infoV2) == 72 && offsetof(scal_memory_pool_infoV2, device_base_address) == 24);
static_assert(offsetof(scal_memory_pool_infoV2, totalSize) == 48);
static_assert(offsetof(scal_memory_pool_infoV2, device_base_allocated_address) == 64);

SCAL_DOUBLE_API int scal_get_handle_from_fd(int fd, scal_handle_t *handle);
SCAL_DOUBLE_API int scal_get_pool_handle_by_name(scal_handle_t handle, const char *name, scal_pool_handle_t *pool);
SCAL_DOUBLE_API int scal_pool_get_infoV2(scal_pool_handle_t pool, scal_memory_pool_infoV2 *info);

// Not the vendor's: how the double's libSynapse says what it took. The pool outlives the attachment.
struct ScalDoublePool {
    uint64_t base = 0, mapping = 0, total = 0;
    std::atomic<uint64_t> free = 0;
};
SCAL_DOUBLE_API void scalDoubleAttach(int fd, const ScalDoublePool *pool);
SCAL_DOUBLE_API void scalDoubleDetach();
