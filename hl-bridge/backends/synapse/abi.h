// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>

// The part of SynapseAI's C interface that this backend uses: that of 1.18 to 1.21, which carry no version in their
// symbols. Declarations of our own from published facts, as the vendor's headers may not be passed on; abitable.h has
// each size, offset and number with its source. G3SW, here and in the other files of this folder, is
// github.com/HabanaAI/Intel_Gaudi3_Software at e6cef1c. All pointers and handles are borrowed, all sizes bytes.
namespace hl::synapse::abi {

// synapse_common_types.h synStatus: those that this backend tells apart. Others are shown by the vendor's description.
enum Status : int32_t {
    success = 0,
    invalid_argument = 1,
    out_of_host_memory = 3,
    out_of_device_memory = 4,
    no_device_found = 8,
    device_type_mismatch = 9,
    device_reset = 17,
    unsupported = 18,
    wrong_params_file = 19,
    device_already_acquired = 20,
    busy = 22,
    all_resources_taken = 23,
    unavailable = 24,
    fail = 26,
    out_of_resources = 27,
    uninitialized = 28,
    already_initialized = 29,
    synapse_terminated = 31,
    assert_async = 32,
    mapping_not_found = 34,
};

enum DmaDirection : int32_t { host_to_dram = 0, dram_to_host = 1, dram_to_dram = 2 };

enum DeviceType : int32_t { gaudi = 2, gaudi2 = 4, gaudi3 = 5 };

// A bit each; a tensor has one.
enum DataType : int32_t {
    type_int8 = 1,
    type_bf16 = 2,
    type_float = 4,
    type_int16 = 8,
    type_int32 = 16,
    type_uint8 = 32,
    type_fp16 = 256,
    type_uint16 = 512,
    type_uint32 = 1024,
    type_fp8_143 = 0x2000,
    type_fp8_152 = 0x4000,
    type_int64 = 0x8000,
};

enum TensorType : int32_t {
    data_tensor = 0,
    shape_tensor = 1,
    data_tensor_dynamic = 3,
    device_shape_tensor = 4,
    host_shape_tensor = 5,
    host_to_device_tensor = 6,
};

// The device id that a process gets: it may have one device (G3SW device_manager.cpp).
inline constexpr uint32_t only_device = 0;
inline constexpr size_t max_dims = 25;   // HABANA_DIM_MAX
inline constexpr size_t max_name = 1024; // ENQUEUE_TENSOR_NAME_MAX_SIZE
// synStatusGetBriefDescription wants this much room at least.
inline constexpr size_t description_size = 56;
// synDeviceMalloc promises no more.
inline constexpr uint64_t malloc_alignment = 128;

struct StreamOpaque;
struct EventOpaque;
struct RecipeOpaque;
using StreamHandle = StreamOpaque *;
using EventHandle = EventOpaque *;
using RecipeHandle = RecipeOpaque *;

// synDeviceInfoV2
struct DeviceInfoV2 {
    uint64_t sram_base;
    uint64_t dram_base;
    uint32_t sram_size;
    uint64_t dram_size;
    uint64_t tpc_enabled_mask;
    uint8_t dram_enabled;
    uint32_t device_id;
    int32_t fd; // the compute node, Synapse's: never closed by us
    DeviceType type;
    uint8_t device_index;
    uint64_t global_hbm_base; // reserved before 1.21; 0 where it is not filled in
};

// synLaunchTensorInfo (also called synLaunchTensorInfoExt): one tensor of a launch.
struct LaunchTensor {
    const char *name; // looked at only where the launch goes by names
    uint64_t address;
    TensorType type;
    uint64_t size[max_dims]; // elements, fastest dimension first; only of dynamic tensors
    uint64_t id;
};

// synRetrievedLaunchTensorInfo: what a recipe says of a tensor. The caller fills in the id.
struct RetrievedTensor {
    char name[max_name];
    uint64_t id;
    TensorType type;
    DataType data_type;
    uint32_t dims;
    uint64_t max_size[max_dims]; // elements, fastest dimension first
    uint64_t min_size[max_dims];
    uint8_t permutation[max_dims];
    uint32_t section_id;
    uint64_t offset_in_section;
    uint8_t is_input;
    uint32_t reserved[10];
};

// scal.h
inline constexpr int scal_success = 0;
struct ScalOpaque;
struct ScalPoolOpaque;
using ScalHandle = ScalOpaque *;
using ScalPoolHandle = ScalPoolOpaque *;
// The pool that synDeviceMalloc gives from.
inline constexpr const char *scal_user_pool = "global_hbm";

// scal_memory_pool_infoV2
struct ScalPoolInfo {
    ScalHandle scal;
    const char *name;
    uint32_t index;
    uint64_t device_base; // of the pool
    void *host_base;
    uint32_t core_base;
    uint64_t total_size;
    uint64_t free_size;
    uint64_t device_base_allocated; // of the driver's mapping that the pool lies in: what an export names
};

// Every function of libSynapse.so that is looked up: X(symbol, arguments). All return a Status. synDriverGetVersion is
// not among them: it is called before any other is looked for.
#define HL_SYNAPSE_CALLS(X)                                                                                            \
    X(synInitialize, ())                                                                                               \
    X(synDestroy, ())                                                                                                  \
    X(synDeviceAcquire, (uint32_t *device, const char *pci_bus))                                                       \
    X(synDeviceAcquireByModuleId, (uint32_t *device, uint32_t module))                                                 \
    X(synDeviceRelease, (uint32_t device))                                                                             \
    X(synDeviceGetInfoV2, (uint32_t device, ::hl::synapse::abi::DeviceInfoV2 *info))                                   \
    X(synDeviceGetPCIBusId, (char *address, int length, uint32_t device))                                              \
    X(synDeviceGetMemoryInfo, (uint32_t device, uint64_t *free, uint64_t *total))                                      \
    X(synDeviceMalloc, (uint32_t device, uint64_t size, uint64_t wanted, uint32_t flags, uint64_t *buffer))            \
    X(synDeviceFree, (uint32_t device, uint64_t buffer, uint32_t flags))                                               \
    X(synHostMap, (uint32_t device, uint64_t size, const void *buffer))                                                \
    X(synHostUnmap, (uint32_t device, const void *buffer))                                                             \
    X(synStreamCreateGeneric, (::hl::synapse::abi::StreamHandle * stream, uint32_t device, uint32_t flags))            \
    X(synStreamDestroy, (::hl::synapse::abi::StreamHandle stream))                                                     \
    X(synEventCreate, (::hl::synapse::abi::EventHandle * event, uint32_t device, uint32_t flags))                      \
    X(synEventDestroy, (::hl::synapse::abi::EventHandle event))                                                        \
    X(synEventRecord, (::hl::synapse::abi::EventHandle event, ::hl::synapse::abi::StreamHandle stream))                \
    X(synEventQuery, (::hl::synapse::abi::EventHandle event))                                                          \
    X(synMemCopyAsync, (::hl::synapse::abi::StreamHandle stream, uint64_t source, uint64_t size, uint64_t target,      \
                        ::hl::synapse::abi::DmaDirection direction))                                                   \
    X(synMemCopyAsyncMultiple,                                                                                         \
      (::hl::synapse::abi::StreamHandle stream, const uint64_t *sources, const uint64_t *sizes,                        \
       const uint64_t *targets, ::hl::synapse::abi::DmaDirection direction, uint64_t copies))                          \
    X(synRecipeDeSerialize, (::hl::synapse::abi::RecipeHandle * recipe, const char *file))                             \
    X(synRecipeDestroy, (::hl::synapse::abi::RecipeHandle recipe))                                                     \
    X(synWorkspaceGetSize, (uint64_t *bytes, ::hl::synapse::abi::RecipeHandle recipe))                                 \
    X(synTensorRetrieveLaunchAmount, (::hl::synapse::abi::RecipeHandle recipe, uint32_t *tensors))                     \
    X(synTensorRetrieveLaunchIds, (::hl::synapse::abi::RecipeHandle recipe, uint64_t *ids, uint32_t tensors))          \
    X(synTensorRetrieveLaunchInfoById,                                                                                 \
      (::hl::synapse::abi::RecipeHandle recipe, uint32_t tensors, ::hl::synapse::abi::RetrievedTensor *infos))         \
    X(synLaunch, (::hl::synapse::abi::StreamHandle stream, const ::hl::synapse::abi::LaunchTensor *tensors,            \
                  uint32_t count, uint64_t workspace, ::hl::synapse::abi::RecipeHandle recipe, uint32_t flags))        \
    X(synStatusGetBriefDescription, (::hl::synapse::abi::Status status, char *text, size_t length))

// Likewise of libscal.so. All return an int, scal_success or not.
#define HL_SCAL_CALLS(X)                                                                                               \
    X(scal_get_handle_from_fd, (int fd, ::hl::synapse::abi::ScalHandle *scal))                                         \
    X(scal_get_pool_handle_by_name,                                                                                    \
      (::hl::synapse::abi::ScalHandle scal, const char *name, ::hl::synapse::abi::ScalPoolHandle *pool))               \
    X(scal_pool_get_infoV2, (::hl::synapse::abi::ScalPoolHandle pool, ::hl::synapse::abi::ScalPoolInfo * info))

// The functions, once they are found.
struct SynapseCalls {
#define HL_X(symbol, arguments) Status(*symbol) arguments = nullptr;
    HL_SYNAPSE_CALLS(HL_X)
#undef HL_X
};
struct ScalCalls {
#define HL_X(symbol, arguments) int(*symbol) arguments = nullptr;
    HL_SCAL_CALLS(HL_X)
#undef HL_X
};

} // namespace hl::synapse::abi
