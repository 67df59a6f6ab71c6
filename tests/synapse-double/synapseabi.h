// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

// A double of Intel's runtime for Gaudi: libSynapse.so and libscal.so with the symbols and structures of SynapseAI 1.19
// to 1.21, for tests of whoever loads them. Its declarations are its own, written from published facts and not from
// those of hl-bridge/backends/synapse, so that a test that compares the two sees a mistake of either. "HCL" below is
// github.com/HabanaAI/HCL (dependencies/synapse/include), "G3SW" github.com/HabanaAI/Intel_Gaudi3_Software, "K7.2" the
// driver in Linux 7.2 (drivers/accel/habanalabs).
//
// What it plays:
//  - One device per process, with id 0; a second acquire is DeviceAlreadyAcquired (G3SW device_manager.cpp).
//  - All HBM is taken at acquire, as one mapping of the driver ("FullPool" of Gaudi2, G3SW scal_init_gaudi2.cpp);
//    "global_hbm" is carved out of it, less 4 KiB, and begins after its start. synDeviceMalloc's addresses lie in it
//    and are 128-byte aligned, as a rule no more than that.
//  - The eventfd of the compute node is its own, and read in a thread of its own (G3SW efd_controller.cpp).
//  - Copies from and to host memory want it mapped: MappingNotFound otherwise.
//  - Streams are asynchronous, a thread each. Query says Busy while work is under way, and so does destroying one.
//  - Recipes are deserialised without a device. Damaged ones are WrongParamsFile, those of another release Unsupported,
//    those of another chip DeviceTypeMismatch as soon as a device is there.
//  - Sizes of tensors run fastest dimension first. Every persistent tensor wants an address at each launch; a recipe
//    with a workspace writes all over it.
//  - A failure of the device: what the driver aborts, what reaches memory that is not there, what was ordered. After it
//    every call says DeviceReset until the device is released; with HL_DBL_ON_FAILURE=kill the process gets SIGKILL,
//    as the runtime does by default (G3SW dfa_base.cpp).
//  - HL_DBL_FAULTS: failures, delays and stalls on order (orders.h). It is read by synInitialize, and counted on while
//    it stays as it is.
//  - HL_DBL_TELLS_HBM_BASE: the device's information has the start of the mapping, as that of 1.21 may.
//
// What it does not play: compilation (graphs), serialisation, sections, external tensors, host-side shape tensors,
// collectives, Gaudi and Gaudi3, profiling, the double initialise check, the order in which the runtime frees HBM.
// Statuses that the facts leave open are marked "ours".
//
// Its recipes wrap an ONNX graph (make_recipe.py), which it computes on the host: inputs are read from HBM by device
// DMA, outputs written back likewise. Its version says so: "SynapseAI double: computes on the host". It reaches HBM
// through the driver behind /dev/accel/accelN alone: the kernel's own (in the virtual machine, on the emulated Gaudi2),
// or the one played by libhabananode.so (playednode.h), which a process preloads or links.

#include <cstddef>
#include <cstdint>

#define SYNAPSE_DOUBLE_API extern "C" __attribute__((visibility("default")))

// HCL synapse_common_types.h. The numbers that the facts do not name are left out.
enum synStatus : int32_t {
    synSuccess = 0,
    synInvalidArgument = 1,
    synCbFull = 2,
    synOutOfHostMemory = 3,
    synOutOfDeviceMemory = 4,
    synNoDeviceFound = 8,
    synDeviceTypeMismatch = 9,
    synDeviceReset = 17,
    synUnsupported = 18,
    synWrongParamsFile = 19,
    synDeviceAlreadyAcquired = 20,
    synBusy = 22,
    synAllResourcesTaken = 23,
    synUnavailable = 24,
    synFail = 26,
    synOutOfResources = 27,
    synUninitialized = 28,
    synAlreadyInitialized = 29,
    synSynapseTerminated = 31,
    synAssertAsync = 32,
    synInvalidEventHandle = 33,
    synMappingNotFound = 34,
    synFailedToSubmitWorkload = 37,
    synInvalidSectionsDefinition = 38,
    synInvalidTensorProperties = 39,
    synFailHccl = 40,
    synTimeout = 42,
    synResourceBadUsage = 43,
    synNullPtr = 44,
    synFailFuser = 45,
    synFailComplexGuid = 46,
    synFailTpcKernels = 47,
};

enum synDeviceType : int32_t {
    synDeviceGaudi = 2,
    synDeviceGaudi2 = 4,
    synDeviceGaudi3 = 5,
};

enum synDataType : int32_t {
    syn_type_int8 = 1,
    syn_type_bf16 = 2,
    syn_type_float = 4,
    syn_type_int16 = 8,
    syn_type_int32 = 16,
    syn_type_uint8 = 32,
    syn_type_fp16 = 256,
    syn_type_uint16 = 512,
    syn_type_uint32 = 1024,
    syn_type_int64 = 0x8000,
};

enum synTensorType : int32_t { DATA_TENSOR = 0 };

enum synDmaDir : int32_t { HOST_TO_DRAM = 0, DRAM_TO_HOST = 1, DRAM_TO_DRAM = 2 };

enum synRecipeAttribute : int32_t {
    RECIPE_ATTRIBUTE_WORKSPACE_SIZE = 0,
    RECIPE_ATTRIBUTE_NUM_PERSISTENT_TENSORS = 1,
    RECIPE_ATTRIBUTE_PERSISTENT_TENSORS_SIZE = 4,
};

inline constexpr uint32_t SYN_FLAGS_TENSOR_NAME = 0x1; // of synLaunch: tensors go by name, not by id
inline constexpr uint32_t EVENT_COLLECT_TIME = 0x1;
inline constexpr size_t syn_name_size = 1024; // ENQUEUE_TENSOR_NAME_MAX_SIZE
inline constexpr size_t syn_max_dims = 25;    // HABANA_DIM_MAX

using synDeviceId = uint32_t;
using synModuleId = uint32_t;
struct synStream;
struct synEvent;
struct synRecipe;
using synStreamHandle = synStream *;
using synEventHandle = synEvent *;
using synRecipeHandle = synRecipe *;

struct synLaunchTensorInfo {
    const char *tensorName;
    uint64_t pTensorAddress;
    synTensorType tensorType;
    uint64_t tensorSize[syn_max_dims]; // fastest dimension first
    uint64_t tensorId;
};
static_assert(sizeof(synLaunchTensorInfo) == 232 && offsetof(synLaunchTensorInfo, pTensorAddress) == 8);
static_assert(offsetof(synLaunchTensorInfo, tensorType) == 16 && offsetof(synLaunchTensorInfo, tensorSize) == 24);
static_assert(offsetof(synLaunchTensorInfo, tensorId) == 224);

struct synRetrievedLaunchTensorInfo {
    char tensorName[syn_name_size];
    uint64_t tensorId;
    synTensorType tensorType;
    synDataType tensorDataType;
    uint32_t tensorDims;
    uint64_t tensorMaxSize[syn_max_dims];
    uint64_t tensorMinSize[syn_max_dims];
    uint8_t tensorPermutation[syn_max_dims];
    uint32_t tensorSectionId;
    uint64_t tensorOffsetInSection;
    uint8_t isInput;
    uint8_t reserved[47];
};
static_assert(sizeof(synRetrievedLaunchTensorInfo) == 1536 && offsetof(synRetrievedLaunchTensorInfo, tensorId) == 1024);
static_assert(offsetof(synRetrievedLaunchTensorInfo, tensorType) == 1032);
static_assert(offsetof(synRetrievedLaunchTensorInfo, tensorDataType) == 1036);
static_assert(offsetof(synRetrievedLaunchTensorInfo, tensorDims) == 1040);
static_assert(offsetof(synRetrievedLaunchTensorInfo, tensorMaxSize) == 1048);
static_assert(offsetof(synRetrievedLaunchTensorInfo, tensorMinSize) == 1248);
static_assert(offsetof(synRetrievedLaunchTensorInfo, tensorPermutation) == 1448);
static_assert(offsetof(synRetrievedLaunchTensorInfo, tensorSectionId) == 1476);
static_assert(offsetof(synRetrievedLaunchTensorInfo, tensorOffsetInSection) == 1480);
static_assert(offsetof(synRetrievedLaunchTensorInfo, isInput) == 1488);

struct synDeviceInfo {
    uint64_t sramBaseAddress;
    uint64_t dramBaseAddress;
    uint32_t sramSize;
    uint64_t dramSize;
    uint64_t tpcEnabledMask;
    uint8_t dramEnabled;
    uint32_t deviceId;
    int32_t fd;
};
static_assert(sizeof(synDeviceInfo) == 56 && offsetof(synDeviceInfo, fd) == 48);

struct synDeviceInfoV2 {
    uint64_t sramBaseAddress;
    uint64_t dramBaseAddress;
    uint32_t sramSize;
    uint64_t dramSize;
    uint64_t tpcEnabledMask;
    uint8_t dramEnabled;
    uint32_t deviceId;
    int32_t fd;
    synDeviceType deviceType;
    uint8_t deviceIndex;
    uint64_t globalHbmBaseAddress; // reserved before 1.21, which leaves what it means open: 0 here
};
static_assert(sizeof(synDeviceInfoV2) == 72 && offsetof(synDeviceInfoV2, dramBaseAddress) == 8);
static_assert(offsetof(synDeviceInfoV2, sramSize) == 16 && offsetof(synDeviceInfoV2, dramSize) == 24);
static_assert(offsetof(synDeviceInfoV2, tpcEnabledMask) == 32 && offsetof(synDeviceInfoV2, dramEnabled) == 40);
static_assert(offsetof(synDeviceInfoV2, deviceId) == 44 && offsetof(synDeviceInfoV2, fd) == 48);
static_assert(offsetof(synDeviceInfoV2, deviceType) == 52 && offsetof(synDeviceInfoV2, deviceIndex) == 56);
static_assert(offsetof(synDeviceInfoV2, globalHbmBaseAddress) == 64);

// Every function that the double has, and its arguments (HCL synapse_api.h): SYN_FUNCTION(name, (arguments)).
#define SYNAPSE_DOUBLE_FUNCTIONS(SYN_FUNCTION)                                                                         \
    SYN_FUNCTION(synInitialize, ())                                                                                    \
    SYN_FUNCTION(synDestroy, ())                                                                                       \
    SYN_FUNCTION(synDriverGetVersion, (char *version, const int length))                                               \
    SYN_FUNCTION(synStatusGetBriefDescription, (synStatus status, char *text, size_t length))                          \
    SYN_FUNCTION(synDeviceGetCount, (uint32_t *count))                                                                 \
    SYN_FUNCTION(synDeviceGetCountByDeviceType, (uint32_t *count, synDeviceType type))                                 \
    SYN_FUNCTION(synDeviceGetModuleIDs, (uint32_t *ids, uint32_t *size))                                               \
    SYN_FUNCTION(synDeviceAcquireByDeviceType, (synDeviceId * device, synDeviceType type))                             \
    SYN_FUNCTION(synDeviceAcquireByModuleId, (synDeviceId * device, synModuleId module))                               \
    SYN_FUNCTION(synDeviceAcquire, (synDeviceId * device, const char *pci_bus))                                        \
    SYN_FUNCTION(synDeviceRelease, (synDeviceId device))                                                               \
    SYN_FUNCTION(synDeviceGetInfo, (synDeviceId device, synDeviceInfo * info))                                         \
    SYN_FUNCTION(synDeviceGetInfoV2, (synDeviceId device, synDeviceInfoV2 * info))                                     \
    SYN_FUNCTION(synDeviceGetName, (char *name, const int length, synDeviceId device))                                 \
    SYN_FUNCTION(synDeviceGetPCIBusId, (char *address, const int length, synDeviceId device))                          \
    SYN_FUNCTION(synDeviceGetMemoryInfo, (synDeviceId device, uint64_t *free, uint64_t *total))                        \
    SYN_FUNCTION(synDeviceMalloc,                                                                                      \
                 (synDeviceId device, uint64_t size, uint64_t wanted, uint32_t flags, uint64_t *buffer))               \
    SYN_FUNCTION(synDeviceFree, (synDeviceId device, uint64_t buffer, uint32_t flags))                                 \
    SYN_FUNCTION(synHostMalloc, (synDeviceId device, uint64_t size, uint32_t flags, void **buffer))                    \
    SYN_FUNCTION(synHostFree, (synDeviceId device, const void *buffer, uint32_t flags))                                \
    SYN_FUNCTION(synHostMap, (synDeviceId device, uint64_t size, const void *buffer))                                  \
    SYN_FUNCTION(synHostUnmap, (synDeviceId device, const void *buffer))                                               \
    SYN_FUNCTION(synStreamCreateGeneric, (synStreamHandle * stream, synDeviceId device, uint32_t flags))               \
    SYN_FUNCTION(synStreamDestroy, (synStreamHandle stream))                                                           \
    SYN_FUNCTION(synStreamWaitEvent, (synStreamHandle stream, synEventHandle event, uint32_t flags))                   \
    SYN_FUNCTION(synStreamSynchronize, (synStreamHandle stream))                                                       \
    SYN_FUNCTION(synStreamQuery, (synStreamHandle stream))                                                             \
    SYN_FUNCTION(synEventCreate, (synEventHandle * event, synDeviceId device, uint32_t flags))                         \
    SYN_FUNCTION(synEventDestroy, (synEventHandle event))                                                              \
    SYN_FUNCTION(synEventRecord, (synEventHandle event, synStreamHandle stream))                                       \
    SYN_FUNCTION(synEventQuery, (synEventHandle event))                                                                \
    SYN_FUNCTION(synEventSynchronize, (synEventHandle event))                                                          \
    SYN_FUNCTION(synMemCopyAsync,                                                                                      \
                 (synStreamHandle stream, uint64_t source, uint64_t size, uint64_t target, synDmaDir direction))       \
    SYN_FUNCTION(synMemCopyAsyncMultiple, (synStreamHandle stream, const uint64_t *sources, const uint64_t *sizes,     \
                                           const uint64_t *targets, synDmaDir direction, uint64_t count))              \
    SYN_FUNCTION(synRecipeDeSerialize, (synRecipeHandle * recipe, const char *file))                                   \
    SYN_FUNCTION(synRecipeDestroy, (synRecipeHandle recipe))                                                           \
    SYN_FUNCTION(synRecipeGetAttribute,                                                                                \
                 (uint64_t *values, const synRecipeAttribute *attributes, unsigned count, synRecipeHandle recipe))     \
    SYN_FUNCTION(synWorkspaceGetSize, (uint64_t *bytes, synRecipeHandle recipe))                                       \
    SYN_FUNCTION(synTensorRetrieveLaunchAmount, (synRecipeHandle recipe, uint32_t *count))                             \
    SYN_FUNCTION(synTensorRetrieveLaunchIds, (synRecipeHandle recipe, uint64_t *ids, uint32_t count))                  \
    SYN_FUNCTION(synTensorRetrieveLaunchInfoById,                                                                      \
                 (synRecipeHandle recipe, uint32_t count, synRetrievedLaunchTensorInfo *infos))                        \
    SYN_FUNCTION(synTensorRetrievePersistentAmount, (synRecipeHandle recipe, uint32_t *count))                         \
    SYN_FUNCTION(synTensorRetrieveNames, (synRecipeHandle recipe, char names[][syn_name_size], uint32_t count))        \
    SYN_FUNCTION(synTensorRetrieveIds, (synRecipeHandle recipe, const char **names, uint64_t *ids, uint32_t count))    \
    SYN_FUNCTION(synLaunch, (synStreamHandle stream, const synLaunchTensorInfo *tensors, uint32_t count,               \
                             uint64_t workspace, synRecipeHandle recipe, uint32_t flags))

#define SYN_DECLARE(name, arguments) SYNAPSE_DOUBLE_API synStatus name arguments;
SYNAPSE_DOUBLE_FUNCTIONS(SYN_DECLARE)
#undef SYN_DECLARE

// Not the vendor's. While held, streams begin no work; what runs goes on to its end. For tests that look at a stream
// that is busy.
SYNAPSE_DOUBLE_API void synapseDoubleHold(bool held);
