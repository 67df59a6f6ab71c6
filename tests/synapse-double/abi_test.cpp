// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The declarations of hl-bridge's backend and those of the double were written apart, from the same facts. Where they
// differ, one of them is wrong.
#include "backends/synapse/abi.h"
#include "scalabi.h"
#include "synapseabi.h"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bridge = hl::synapse::abi;

namespace {

// What a caller and a function have to agree on in a type: how it is passed, and what a pointer leads to.
template <class T>
std::string shape()
{
    if constexpr (std::is_pointer_v<T>) {
        using Target = std::remove_cv_t<std::remove_pointer_t<T>>;
        if constexpr (std::is_void_v<Target>)
            return "void*";
        else if constexpr (requires { sizeof(Target); })
            return shape<Target>() + "*";
        else
            return "handle";
    } else if constexpr (std::is_enum_v<T>) {
        return shape<std::underlying_type_t<T>>();
    } else if constexpr (std::is_integral_v<T>) {
        return (std::is_signed_v<T> ? "s" : "u") + std::to_string(8 * sizeof(T));
    } else {
        return "struct of " + std::to_string(sizeof(T));
    }
}

template <class Function>
struct Shapes;
template <class Answer, class... Arguments>
struct Shapes<Answer (*)(Arguments...)> {
    static std::vector<std::string> list() { return {shape<Answer>(), shape<Arguments>()...}; }
};

template <class Ours, class Theirs>
void expect_same(const char *name)
{
    EXPECT_EQ(Shapes<Ours>::list(), Shapes<Theirs>::list()) << name;
}

} // namespace

#define SAME_FIELD(ours, our_field, theirs, their_field)                                                               \
    EXPECT_EQ(offsetof(bridge::ours, our_field), offsetof(theirs, their_field)) << #theirs "." #their_field;           \
    EXPECT_EQ(sizeof(bridge::ours::our_field), sizeof(theirs::their_field)) << #theirs "." #their_field

TEST(SynapseAbi, FunctionsAreCalledAsTheyAreDefined){
#define SAME_FUNCTION(name, arguments) expect_same<decltype(bridge::SynapseCalls::name), decltype(&::name)>(#name);
    HL_SYNAPSE_CALLS(SAME_FUNCTION)
#undef SAME_FUNCTION
#define SAME_FUNCTION(name, arguments) expect_same<decltype(bridge::ScalCalls::name), decltype(&::name)>(#name);
        HL_SCAL_CALLS(SAME_FUNCTION)
#undef SAME_FUNCTION
}

TEST(SynapseAbi, StructuresAgree)
{
    EXPECT_EQ(sizeof(bridge::DeviceInfoV2), sizeof(synDeviceInfoV2));
    SAME_FIELD(DeviceInfoV2, sram_base, synDeviceInfoV2, sramBaseAddress);
    SAME_FIELD(DeviceInfoV2, dram_base, synDeviceInfoV2, dramBaseAddress);
    SAME_FIELD(DeviceInfoV2, sram_size, synDeviceInfoV2, sramSize);
    SAME_FIELD(DeviceInfoV2, dram_size, synDeviceInfoV2, dramSize);
    SAME_FIELD(DeviceInfoV2, tpc_enabled_mask, synDeviceInfoV2, tpcEnabledMask);
    SAME_FIELD(DeviceInfoV2, dram_enabled, synDeviceInfoV2, dramEnabled);
    SAME_FIELD(DeviceInfoV2, device_id, synDeviceInfoV2, deviceId);
    SAME_FIELD(DeviceInfoV2, fd, synDeviceInfoV2, fd);
    SAME_FIELD(DeviceInfoV2, type, synDeviceInfoV2, deviceType);
    SAME_FIELD(DeviceInfoV2, device_index, synDeviceInfoV2, deviceIndex);
    SAME_FIELD(DeviceInfoV2, global_hbm_base, synDeviceInfoV2, globalHbmBaseAddress);

    EXPECT_EQ(sizeof(bridge::LaunchTensor), sizeof(synLaunchTensorInfo));
    SAME_FIELD(LaunchTensor, name, synLaunchTensorInfo, tensorName);
    SAME_FIELD(LaunchTensor, address, synLaunchTensorInfo, pTensorAddress);
    SAME_FIELD(LaunchTensor, type, synLaunchTensorInfo, tensorType);
    SAME_FIELD(LaunchTensor, size, synLaunchTensorInfo, tensorSize);
    SAME_FIELD(LaunchTensor, id, synLaunchTensorInfo, tensorId);

    EXPECT_EQ(sizeof(bridge::RetrievedTensor), sizeof(synRetrievedLaunchTensorInfo));
    SAME_FIELD(RetrievedTensor, name, synRetrievedLaunchTensorInfo, tensorName);
    SAME_FIELD(RetrievedTensor, id, synRetrievedLaunchTensorInfo, tensorId);
    SAME_FIELD(RetrievedTensor, type, synRetrievedLaunchTensorInfo, tensorType);
    SAME_FIELD(RetrievedTensor, data_type, synRetrievedLaunchTensorInfo, tensorDataType);
    SAME_FIELD(RetrievedTensor, dims, synRetrievedLaunchTensorInfo, tensorDims);
    SAME_FIELD(RetrievedTensor, max_size, synRetrievedLaunchTensorInfo, tensorMaxSize);
    SAME_FIELD(RetrievedTensor, min_size, synRetrievedLaunchTensorInfo, tensorMinSize);
    SAME_FIELD(RetrievedTensor, permutation, synRetrievedLaunchTensorInfo, tensorPermutation);
    SAME_FIELD(RetrievedTensor, section_id, synRetrievedLaunchTensorInfo, tensorSectionId);
    SAME_FIELD(RetrievedTensor, offset_in_section, synRetrievedLaunchTensorInfo, tensorOffsetInSection);
    SAME_FIELD(RetrievedTensor, is_input, synRetrievedLaunchTensorInfo, isInput);

    EXPECT_EQ(sizeof(bridge::ScalPoolInfo), sizeof(scal_memory_pool_infoV2));
    SAME_FIELD(ScalPoolInfo, device_base, scal_memory_pool_infoV2, device_base_address);
    SAME_FIELD(ScalPoolInfo, total_size, scal_memory_pool_infoV2, totalSize);
    SAME_FIELD(ScalPoolInfo, free_size, scal_memory_pool_infoV2, freeSize);
    SAME_FIELD(ScalPoolInfo, device_base_allocated, scal_memory_pool_infoV2, device_base_allocated_address);
}

TEST(SynapseAbi, NumbersAgree)
{
    const std::vector<std::pair<int, int>> numbers{
        {bridge::success, synSuccess},
        {bridge::invalid_argument, synInvalidArgument},
        {bridge::out_of_host_memory, synOutOfHostMemory},
        {bridge::out_of_device_memory, synOutOfDeviceMemory},
        {bridge::no_device_found, synNoDeviceFound},
        {bridge::device_type_mismatch, synDeviceTypeMismatch},
        {bridge::device_reset, synDeviceReset},
        {bridge::unsupported, synUnsupported},
        {bridge::wrong_params_file, synWrongParamsFile},
        {bridge::device_already_acquired, synDeviceAlreadyAcquired},
        {bridge::busy, synBusy},
        {bridge::all_resources_taken, synAllResourcesTaken},
        {bridge::unavailable, synUnavailable},
        {bridge::fail, synFail},
        {bridge::out_of_resources, synOutOfResources},
        {bridge::already_initialized, synAlreadyInitialized},
        {bridge::synapse_terminated, synSynapseTerminated},
        {bridge::assert_async, synAssertAsync},
        {bridge::mapping_not_found, synMappingNotFound},
        {bridge::host_to_dram, HOST_TO_DRAM},
        {bridge::dram_to_host, DRAM_TO_HOST},
        {bridge::dram_to_dram, DRAM_TO_DRAM},
        {bridge::gaudi, synDeviceGaudi},
        {bridge::gaudi2, synDeviceGaudi2},
        {bridge::gaudi3, synDeviceGaudi3},
        {bridge::type_int8, syn_type_int8},
        {bridge::type_bf16, syn_type_bf16},
        {bridge::type_float, syn_type_float},
        {bridge::type_int16, syn_type_int16},
        {bridge::type_int32, syn_type_int32},
        {bridge::type_uint8, syn_type_uint8},
        {bridge::type_fp16, syn_type_fp16},
        {bridge::type_uint16, syn_type_uint16},
        {bridge::type_uint32, syn_type_uint32},
        {bridge::type_int64, syn_type_int64},
        {bridge::data_tensor, DATA_TENSOR},
    };
    for (size_t i = 0; i < numbers.size(); ++i)
        EXPECT_EQ(numbers[i].first, numbers[i].second) << i;
    EXPECT_EQ(bridge::max_dims, syn_max_dims);
    EXPECT_EQ(bridge::max_name, syn_name_size);
}
