// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/abitable.h"

#include "backends/synapse/abi.h"

#include <algorithm>
#include <array>

namespace hl::synapse {
namespace {

using namespace abi;

// Sources are headers of HabanaAI/HCL at 54fed3a (SynapseAI 1.21) unless another repository is named. Their sizes and
// offsets are those that a compiler for x86-64 gives their fields; HabanaAI/Intel_Gaudi3_Software at e6cef1c (2024-11)
// has the same.
constexpr std::string_view statuses = "synapse_common_types.h synStatus";
constexpr std::string_view directions = "synapse_common_types.h synDmaDir";
constexpr std::string_view chips = "synapse_common_types.h synDeviceType";
constexpr std::string_view data_types = "synapse_common_types.h synDataType";
constexpr std::string_view tensor_types = "synapse_common_types.h synTensorType";
constexpr std::string_view limits = "synapse_common_types.h HABANA_DIM_MAX, ENQUEUE_TENSOR_NAME_MAX_SIZE";
constexpr std::string_view device = "synapse_common_types.h synDeviceInfoV2";
constexpr std::string_view launch = "synapse_api_types.h synLaunchTensorInfo(Ext)";
constexpr std::string_view retrieved = "synapse_api_types.h synRetrievedLaunchTensorInfo";
constexpr std::string_view brief = "synapse_api.h synStatusGetBriefDescription";
constexpr std::string_view aligned = "synapse_api.h synDeviceMalloc";
constexpr std::string_view one_device = "Intel_Gaudi3_Software synapse/src/runtime/common/device/device_manager.cpp";
constexpr std::string_view scal = "scal.h";
constexpr std::string_view pool = "scal.h scal_memory_pool_infoV2";

#define HL_SIZE(text, type, published, source)                                                                         \
    AbiRow                                                                                                             \
    {                                                                                                                  \
        "sizeof " text, sizeof(type), published, source                                                                \
    }
#define HL_AT(text, type, field, published, source)                                                                    \
    AbiRow                                                                                                             \
    {                                                                                                                  \
        text "." #field, offsetof(type, field), published, source                                                      \
    }
#define HL_NUMBER(text, ours, published, source)                                                                       \
    AbiRow                                                                                                             \
    {                                                                                                                  \
        text, static_cast<uint64_t>(ours), published, source                                                           \
    }

constexpr std::array table{
    HL_NUMBER("synSuccess", success, 0, statuses),
    HL_NUMBER("synInvalidArgument", invalid_argument, 1, statuses),
    HL_NUMBER("synOutOfHostMemory", out_of_host_memory, 3, statuses),
    HL_NUMBER("synOutOfDeviceMemory", out_of_device_memory, 4, statuses),
    HL_NUMBER("synNoDeviceFound", no_device_found, 8, statuses),
    HL_NUMBER("synDeviceTypeMismatch", device_type_mismatch, 9, statuses),
    HL_NUMBER("synDeviceReset", device_reset, 17, statuses),
    HL_NUMBER("synUnsupported", unsupported, 18, statuses),
    HL_NUMBER("synWrongParamsFile", wrong_params_file, 19, statuses),
    HL_NUMBER("synDeviceAlreadyAcquired", device_already_acquired, 20, statuses),
    HL_NUMBER("synBusy", busy, 22, statuses),
    HL_NUMBER("synAllResourcesTaken", all_resources_taken, 23, statuses),
    HL_NUMBER("synUnavailable", unavailable, 24, statuses),
    HL_NUMBER("synFail", abi::fail, 26, statuses),
    HL_NUMBER("synOutOfResources", out_of_resources, 27, statuses),
    HL_NUMBER("synUninitialized", uninitialized, 28, statuses),
    HL_NUMBER("synAlreadyInitialized", already_initialized, 29, statuses),
    HL_NUMBER("synSynapseTerminated", synapse_terminated, 31, statuses),
    HL_NUMBER("synAssertAsync", assert_async, 32, statuses),
    HL_NUMBER("synMappingNotFound", mapping_not_found, 34, statuses),

    HL_NUMBER("HOST_TO_DRAM", host_to_dram, 0, directions),
    HL_NUMBER("DRAM_TO_HOST", dram_to_host, 1, directions),
    HL_NUMBER("DRAM_TO_DRAM", dram_to_dram, 2, directions),

    HL_NUMBER("synDeviceGaudi", gaudi, 2, chips),
    HL_NUMBER("synDeviceGaudi2", gaudi2, 4, chips),
    HL_NUMBER("synDeviceGaudi3", gaudi3, 5, chips),

    HL_NUMBER("syn_type_int8", type_int8, 1, data_types),
    HL_NUMBER("syn_type_bf16", type_bf16, 2, data_types),
    HL_NUMBER("syn_type_float", type_float, 4, data_types),
    HL_NUMBER("syn_type_int16", type_int16, 8, data_types),
    HL_NUMBER("syn_type_int32", type_int32, 16, data_types),
    HL_NUMBER("syn_type_uint8", type_uint8, 32, data_types),
    HL_NUMBER("syn_type_fp16", type_fp16, 256, data_types),
    HL_NUMBER("syn_type_uint16", type_uint16, 512, data_types),
    HL_NUMBER("syn_type_uint32", type_uint32, 1024, data_types),
    HL_NUMBER("syn_type_fp8_143", type_fp8_143, 0x2000, data_types),
    HL_NUMBER("syn_type_fp8_152", type_fp8_152, 0x4000, data_types),
    HL_NUMBER("syn_type_int64", type_int64, 0x8000, data_types),

    HL_NUMBER("DATA_TENSOR", data_tensor, 0, tensor_types),
    HL_NUMBER("SHAPE_TENSOR", shape_tensor, 1, tensor_types),
    HL_NUMBER("DATA_TENSOR_DYNAMIC", data_tensor_dynamic, 3, tensor_types),
    HL_NUMBER("DEVICE_SHAPE_TENSOR", device_shape_tensor, 4, tensor_types),
    HL_NUMBER("HOST_SHAPE_TENSOR", host_shape_tensor, 5, tensor_types),
    HL_NUMBER("HOST_TO_DEVICE_TENSOR", host_to_device_tensor, 6, tensor_types),

    HL_NUMBER("HABANA_DIM_MAX", max_dims, 25, limits),
    HL_NUMBER("ENQUEUE_TENSOR_NAME_MAX_SIZE", max_name, 1024, limits),
    HL_NUMBER("room of a description", description_size, 56, brief),
    HL_NUMBER("alignment of device memory", malloc_alignment, 128, aligned),
    HL_NUMBER("device id", only_device, 0, one_device),

    HL_SIZE("synDeviceInfoV2", DeviceInfoV2, 72, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, sram_base, 0, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, dram_base, 8, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, sram_size, 16, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, dram_size, 24, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, tpc_enabled_mask, 32, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, dram_enabled, 40, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, device_id, 44, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, fd, 48, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, type, 52, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, device_index, 56, device),
    HL_AT("synDeviceInfoV2", DeviceInfoV2, global_hbm_base, 64, device),

    HL_SIZE("synLaunchTensorInfo", LaunchTensor, 232, launch),
    HL_AT("synLaunchTensorInfo", LaunchTensor, name, 0, launch),
    HL_AT("synLaunchTensorInfo", LaunchTensor, address, 8, launch),
    HL_AT("synLaunchTensorInfo", LaunchTensor, type, 16, launch),
    HL_AT("synLaunchTensorInfo", LaunchTensor, size, 24, launch),
    HL_AT("synLaunchTensorInfo", LaunchTensor, id, 224, launch),

    HL_SIZE("synRetrievedLaunchTensorInfo", RetrievedTensor, 1536, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, name, 0, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, id, 1024, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, type, 1032, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, data_type, 1036, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, dims, 1040, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, max_size, 1048, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, min_size, 1248, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, permutation, 1448, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, section_id, 1476, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, offset_in_section, 1480, retrieved),
    HL_AT("synRetrievedLaunchTensorInfo", RetrievedTensor, is_input, 1488, retrieved),

    HL_NUMBER("SCAL_SUCCESS", scal_success, 0, scal),
    HL_SIZE("scal_memory_pool_infoV2", ScalPoolInfo, 72, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, scal, 0, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, name, 8, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, index, 16, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, device_base, 24, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, host_base, 32, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, core_base, 40, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, total_size, 48, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, free_size, 56, pool),
    HL_AT("scal_memory_pool_infoV2", ScalPoolInfo, device_base_allocated, 64, pool),
};

#undef HL_SIZE
#undef HL_AT
#undef HL_NUMBER

static_assert(std::ranges::all_of(table, [](const AbiRow &row) { return row.ours == row.published; }));

} // namespace

std::span<const AbiRow> abi_table() noexcept
{
    return table;
}

} // namespace hl::synapse
