// SPDX-License-Identifier: LGPL-2.1-or-later

// Our declarations of SynapseAI's interface against three others: the published numbers, written down here once more,
// and the headers of the double, which somebody else wrote from the same facts.
#include "../synapse-double/scalabi.h"
#include "../synapse-double/synapseabi.h"
#include "backends/synapse/abi.h"
#include "backends/synapse/abitable.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <format>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>

namespace vendor = hl::synapse::abi;

namespace {

// The fact sheet's numbers.
const std::map<std::string_view, uint64_t> published{
    {"sizeof synDeviceInfoV2", 72},
    {"synDeviceInfoV2.sram_base", 0},
    {"synDeviceInfoV2.dram_base", 8},
    {"synDeviceInfoV2.sram_size", 16},
    {"synDeviceInfoV2.dram_size", 24},
    {"synDeviceInfoV2.tpc_enabled_mask", 32},
    {"synDeviceInfoV2.dram_enabled", 40},
    {"synDeviceInfoV2.device_id", 44},
    {"synDeviceInfoV2.fd", 48},
    {"synDeviceInfoV2.type", 52},
    {"synDeviceInfoV2.device_index", 56},
    {"synDeviceInfoV2.global_hbm_base", 64},
    {"sizeof synLaunchTensorInfo", 232},
    {"synLaunchTensorInfo.name", 0},
    {"synLaunchTensorInfo.address", 8},
    {"synLaunchTensorInfo.type", 16},
    {"synLaunchTensorInfo.size", 24},
    {"synLaunchTensorInfo.id", 224},
    {"sizeof synRetrievedLaunchTensorInfo", 1536},
    {"synRetrievedLaunchTensorInfo.name", 0},
    {"synRetrievedLaunchTensorInfo.id", 1024},
    {"synRetrievedLaunchTensorInfo.type", 1032},
    {"synRetrievedLaunchTensorInfo.data_type", 1036},
    {"synRetrievedLaunchTensorInfo.dims", 1040},
    {"synRetrievedLaunchTensorInfo.max_size", 1048},
    {"synRetrievedLaunchTensorInfo.min_size", 1248},
    {"synRetrievedLaunchTensorInfo.permutation", 1448},
    {"synRetrievedLaunchTensorInfo.section_id", 1476},
    {"synRetrievedLaunchTensorInfo.offset_in_section", 1480},
    {"synRetrievedLaunchTensorInfo.is_input", 1488},
    {"sizeof scal_memory_pool_infoV2", 72},
    {"scal_memory_pool_infoV2.scal", 0},
    {"scal_memory_pool_infoV2.name", 8},
    {"scal_memory_pool_infoV2.index", 16},
    {"scal_memory_pool_infoV2.device_base", 24},
    {"scal_memory_pool_infoV2.host_base", 32},
    {"scal_memory_pool_infoV2.core_base", 40},
    {"scal_memory_pool_infoV2.total_size", 48},
    {"scal_memory_pool_infoV2.free_size", 56},
    {"scal_memory_pool_infoV2.device_base_allocated", 64},
    {"SCAL_SUCCESS", 0},
    {"synSuccess", 0},
    {"synInvalidArgument", 1},
    {"synOutOfHostMemory", 3},
    {"synOutOfDeviceMemory", 4},
    {"synNoDeviceFound", 8},
    {"synDeviceTypeMismatch", 9},
    {"synDeviceReset", 17},
    {"synUnsupported", 18},
    {"synWrongParamsFile", 19},
    {"synDeviceAlreadyAcquired", 20},
    {"synBusy", 22},
    {"synAllResourcesTaken", 23},
    {"synUnavailable", 24},
    {"synFail", 26},
    {"synOutOfResources", 27},
    {"synUninitialized", 28},
    {"synAlreadyInitialized", 29},
    {"synSynapseTerminated", 31},
    {"synAssertAsync", 32},
    {"synMappingNotFound", 34},
    {"HOST_TO_DRAM", 0},
    {"DRAM_TO_HOST", 1},
    {"DRAM_TO_DRAM", 2},
    {"synDeviceGaudi", 2},
    {"synDeviceGaudi2", 4},
    {"synDeviceGaudi3", 5},
    {"syn_type_int8", 1},
    {"syn_type_bf16", 2},
    {"syn_type_float", 4},
    {"syn_type_int16", 8},
    {"syn_type_int32", 16},
    {"syn_type_uint8", 32},
    {"syn_type_fp16", 256},
    {"syn_type_uint16", 512},
    {"syn_type_uint32", 1024},
    {"syn_type_fp8_143", 0x2000},
    {"syn_type_fp8_152", 0x4000},
    {"syn_type_int64", 0x8000},
    {"DATA_TENSOR", 0},
    {"SHAPE_TENSOR", 1},
    {"DATA_TENSOR_DYNAMIC", 3},
    {"DEVICE_SHAPE_TENSOR", 4},
    {"HOST_SHAPE_TENSOR", 5},
    {"HOST_TO_DEVICE_TENSOR", 6},
    {"HABANA_DIM_MAX", 25},
    {"ENQUEUE_TENSOR_NAME_MAX_SIZE", 1024},
    {"room of a description", 56},
    {"alignment of device memory", 128},
    {"device id", 0},
};

// What a type is passed as: an enumeration as its number; a pointer is one to the same, where that is known.
template <class T>
struct Passed {
    using type = T;
};
template <class T>
    requires std::is_enum_v<T>
struct Passed<T> {
    using type = std::underlying_type_t<T>;
};

// Whether a caller that means A passes, in the same registers and as wide, what a callee that means B takes.
template <class A, class B>
constexpr bool passed_alike = [] {
    using P = Passed<std::remove_cv_t<A>>::type;
    using Q = Passed<std::remove_cv_t<B>>::type;
    if constexpr (std::is_pointer_v<P> && std::is_pointer_v<Q>) {
        using X = std::remove_cv_t<std::remove_pointer_t<P>>;
        using Y = std::remove_cv_t<std::remove_pointer_t<Q>>;
        if constexpr (requires { sizeof(X); } && requires { sizeof(Y); })
            return passed_alike<X, Y>;
        else
            return std::is_void_v<X> == std::is_void_v<Y>; // handles
    } else {
        return sizeof(P) == sizeof(Q) && std::is_integral_v<P> == std::is_integral_v<Q> &&
               std::is_signed_v<P> == std::is_signed_v<Q> && !std::is_pointer_v<P> && !std::is_pointer_v<Q>;
    }
}();

template <class Ours, class Theirs>
constexpr bool called_alike = false;
template <class R, class... A, class S, class... B>
constexpr bool called_alike<R (*)(A...), S (*)(B...)> = [] {
    if constexpr (sizeof...(A) == sizeof...(B))
        return passed_alike<R, S> && (passed_alike<A, B> && ...);
    return false;
}();

#define HL_X(symbol, arguments)                                                                                        \
    static_assert(called_alike<decltype(vendor::SynapseCalls::symbol), decltype(&::symbol)>, #symbol);
HL_SYNAPSE_CALLS(HL_X)
#undef HL_X
#define HL_X(symbol, arguments)                                                                                        \
    static_assert(called_alike<decltype(vendor::ScalCalls::symbol), decltype(&::symbol)>, #symbol);
HL_SCAL_CALLS(HL_X)
#undef HL_X

#define HL_SAME(ours, our_field, theirs, their_field)                                                                  \
    static_assert(offsetof(vendor::ours, our_field) == offsetof(theirs, their_field) &&                                \
                  sizeof(vendor::ours::our_field) == sizeof(theirs::their_field))

static_assert(sizeof(vendor::DeviceInfoV2) == sizeof(synDeviceInfoV2));
HL_SAME(DeviceInfoV2, sram_base, synDeviceInfoV2, sramBaseAddress);
HL_SAME(DeviceInfoV2, dram_base, synDeviceInfoV2, dramBaseAddress);
HL_SAME(DeviceInfoV2, sram_size, synDeviceInfoV2, sramSize);
HL_SAME(DeviceInfoV2, dram_size, synDeviceInfoV2, dramSize);
HL_SAME(DeviceInfoV2, tpc_enabled_mask, synDeviceInfoV2, tpcEnabledMask);
HL_SAME(DeviceInfoV2, dram_enabled, synDeviceInfoV2, dramEnabled);
HL_SAME(DeviceInfoV2, device_id, synDeviceInfoV2, deviceId);
HL_SAME(DeviceInfoV2, fd, synDeviceInfoV2, fd);
HL_SAME(DeviceInfoV2, type, synDeviceInfoV2, deviceType);
HL_SAME(DeviceInfoV2, device_index, synDeviceInfoV2, deviceIndex);
HL_SAME(DeviceInfoV2, global_hbm_base, synDeviceInfoV2, globalHbmBaseAddress);

static_assert(sizeof(vendor::LaunchTensor) == sizeof(synLaunchTensorInfo));
HL_SAME(LaunchTensor, name, synLaunchTensorInfo, tensorName);
HL_SAME(LaunchTensor, address, synLaunchTensorInfo, pTensorAddress);
HL_SAME(LaunchTensor, type, synLaunchTensorInfo, tensorType);
HL_SAME(LaunchTensor, size, synLaunchTensorInfo, tensorSize);
HL_SAME(LaunchTensor, id, synLaunchTensorInfo, tensorId);

static_assert(sizeof(vendor::RetrievedTensor) == sizeof(synRetrievedLaunchTensorInfo));
HL_SAME(RetrievedTensor, name, synRetrievedLaunchTensorInfo, tensorName);
HL_SAME(RetrievedTensor, id, synRetrievedLaunchTensorInfo, tensorId);
HL_SAME(RetrievedTensor, type, synRetrievedLaunchTensorInfo, tensorType);
HL_SAME(RetrievedTensor, data_type, synRetrievedLaunchTensorInfo, tensorDataType);
HL_SAME(RetrievedTensor, dims, synRetrievedLaunchTensorInfo, tensorDims);
HL_SAME(RetrievedTensor, max_size, synRetrievedLaunchTensorInfo, tensorMaxSize);
HL_SAME(RetrievedTensor, min_size, synRetrievedLaunchTensorInfo, tensorMinSize);
HL_SAME(RetrievedTensor, permutation, synRetrievedLaunchTensorInfo, tensorPermutation);
HL_SAME(RetrievedTensor, section_id, synRetrievedLaunchTensorInfo, tensorSectionId);
HL_SAME(RetrievedTensor, offset_in_section, synRetrievedLaunchTensorInfo, tensorOffsetInSection);
HL_SAME(RetrievedTensor, is_input, synRetrievedLaunchTensorInfo, isInput);

static_assert(sizeof(vendor::ScalPoolInfo) == sizeof(scal_memory_pool_infoV2));
HL_SAME(ScalPoolInfo, scal, scal_memory_pool_infoV2, scal);
HL_SAME(ScalPoolInfo, name, scal_memory_pool_infoV2, name);
HL_SAME(ScalPoolInfo, index, scal_memory_pool_infoV2, idx);
HL_SAME(ScalPoolInfo, device_base, scal_memory_pool_infoV2, device_base_address);
HL_SAME(ScalPoolInfo, host_base, scal_memory_pool_infoV2, host_base_address);
HL_SAME(ScalPoolInfo, core_base, scal_memory_pool_infoV2, core_base_address);
HL_SAME(ScalPoolInfo, total_size, scal_memory_pool_infoV2, totalSize);
HL_SAME(ScalPoolInfo, free_size, scal_memory_pool_infoV2, freeSize);
HL_SAME(ScalPoolInfo, device_base_allocated, scal_memory_pool_infoV2, device_base_allocated_address);

#define HL_EQUAL(ours, theirs) static_assert(static_cast<int64_t>(vendor::ours) == static_cast<int64_t>(theirs))
HL_EQUAL(success, synSuccess);
HL_EQUAL(invalid_argument, synInvalidArgument);
HL_EQUAL(out_of_host_memory, synOutOfHostMemory);
HL_EQUAL(out_of_device_memory, synOutOfDeviceMemory);
HL_EQUAL(no_device_found, synNoDeviceFound);
HL_EQUAL(device_type_mismatch, synDeviceTypeMismatch);
HL_EQUAL(device_reset, synDeviceReset);
HL_EQUAL(unsupported, synUnsupported);
HL_EQUAL(wrong_params_file, synWrongParamsFile);
HL_EQUAL(device_already_acquired, synDeviceAlreadyAcquired);
HL_EQUAL(busy, synBusy);
HL_EQUAL(all_resources_taken, synAllResourcesTaken);
HL_EQUAL(unavailable, synUnavailable);
HL_EQUAL(fail, synFail);
HL_EQUAL(out_of_resources, synOutOfResources);
HL_EQUAL(uninitialized, synUninitialized);
HL_EQUAL(already_initialized, synAlreadyInitialized);
HL_EQUAL(synapse_terminated, synSynapseTerminated);
HL_EQUAL(assert_async, synAssertAsync);
HL_EQUAL(mapping_not_found, synMappingNotFound);
HL_EQUAL(host_to_dram, HOST_TO_DRAM);
HL_EQUAL(dram_to_host, DRAM_TO_HOST);
HL_EQUAL(dram_to_dram, DRAM_TO_DRAM);
HL_EQUAL(gaudi, synDeviceGaudi);
HL_EQUAL(gaudi2, synDeviceGaudi2);
HL_EQUAL(gaudi3, synDeviceGaudi3);
HL_EQUAL(type_int8, syn_type_int8);
HL_EQUAL(type_bf16, syn_type_bf16);
HL_EQUAL(type_int16, syn_type_int16);
HL_EQUAL(type_int32, syn_type_int32);
HL_EQUAL(type_uint16, syn_type_uint16);
HL_EQUAL(type_uint32, syn_type_uint32);
HL_EQUAL(type_uint8, syn_type_uint8);
HL_EQUAL(type_float, syn_type_float);
HL_EQUAL(type_fp16, syn_type_fp16);
HL_EQUAL(type_int64, syn_type_int64);
HL_EQUAL(data_tensor, DATA_TENSOR);
HL_EQUAL(max_dims, syn_max_dims);
HL_EQUAL(max_name, syn_name_size);

} // namespace

TEST(SynapseAbi, EachRowIsWhatWasPublished)
{
    std::set<std::string_view> seen;
    for (const hl::synapse::AbiRow &row : hl::synapse::abi_table()) {
        std::cout << std::format("| {:<52} {:>6} {:>6}  {}\n", row.what, row.ours, row.published, row.source);
        SCOPED_TRACE(row.what);
        EXPECT_TRUE(seen.insert(row.what).second);
        const auto at = published.find(row.what);
        ASSERT_NE(at, published.end());
        EXPECT_EQ(row.ours, at->second);
        EXPECT_EQ(row.published, at->second);
        EXPECT_FALSE(row.source.empty());
    }
    EXPECT_EQ(seen.size(), published.size());
}
