// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The double behaves as the facts about the vendor's runtime say: device, memory, streams, failures. Each test names
// the source of its fact; "ours" is what the facts leave open.
#include "synapsetesting.h"

#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <numeric>
#include <string_view>
#include <vector>

using hl::UniqueFd;
using hl::dbl::PlayedNode;
using hl::test::Library;
using hl::test::Mapped;
using hl::test::ScopedEnv;
using hl::test::SynapseTest;

namespace habanalabs = hl::habanalabs;
namespace uapi = hl::habanalabs::uapi;

namespace {

class Runtime : public SynapseTest {};
class Device : public SynapseTest {};
class HbmMemory : public SynapseTest {};
class Copies : public SynapseTest {};
class Streams : public SynapseTest {};
class Failures : public SynapseTest {};

} // namespace

// --- the runtime ---

// synapse_api.h: synDriverGetVersion may be asked before synInitialize. It tells a stand-in from the real one.
TEST_F(Runtime, TellsItsVersionAtAnyTime)
{
    ASSERT_EQ(syn.synDestroy(), synSuccess);
    std::array<char, 64> text{};
    EXPECT_EQ(syn.synDriverGetVersion(text.data(), text.size()), synSuccess);
    EXPECT_STREQ(text.data(), "1.21.0 (SynapseAI double: computes on the host)");
    EXPECT_EQ(syn.synDriverGetVersion(text.data(), 10), synInvalidArgument); // ours
    ASSERT_EQ(syn.synInitialize(), synSuccess);
}

// HCL synapse_api.h: the second synInitialize is a success; nothing works before the first.
TEST_F(Runtime, IsInitialisedOnce)
{
    EXPECT_EQ(syn.synInitialize(), synSuccess);
    ASSERT_EQ(syn.synDestroy(), synSuccess);
    uint32_t count = 0;
    EXPECT_EQ(syn.synDeviceGetCount(&count), synUninitialized);
    EXPECT_EQ(syn.synDeviceAcquireByModuleId(&device, PlayedNode::module_id), synUninitialized);
    ASSERT_EQ(syn.synInitialize(), synSuccess);
}

// HCL synapse_api.h: a description wants 56 characters of room; WrongParamsFile is "Invalid Recipe file".
TEST_F(Runtime, DescribesStatuses)
{
    std::array<char, 56> text{};
    EXPECT_EQ(syn.synStatusGetBriefDescription(synWrongParamsFile, text.data(), text.size()), synSuccess);
    EXPECT_STREQ(text.data(), "Invalid Recipe file");
    EXPECT_EQ(syn.synStatusGetBriefDescription(synFail, text.data(), 55), synInvalidArgument);
    EXPECT_EQ(syn.synStatusGetBriefDescription(static_cast<synStatus>(5), text.data(), text.size()), synSuccess);
}

// Orders are read strictly, and strike the call that they name.
TEST_F(Runtime, FailsOnOrder)
{
    for (const char *wrong :
         {"synLaunch", "synLaunch:1", "synLaunch:0=synFail", "synLaunch:1=synNothing", "synLaunch:1=synSuccess",
          "synNothing:1=synFail", "synDeviceMalloc:1=stall", "synLaunch:1=delay:5", "synLaunch:1=delay:2000000000s",
          "synLaunch:x=synFail", ",", "lost@synLaunch", "synLaunch:1=synFail,"}) {
        ASSERT_EQ(syn.synDestroy(), synSuccess);
        ::setenv("HL_DBL_FAULTS", wrong, 1);
        testing::internal::CaptureStderr();
        EXPECT_EQ(syn.synInitialize(), synInvalidArgument) << wrong;
        EXPECT_NE(testing::internal::GetCapturedStderr().find("HL_DBL_FAULTS"), std::string::npos) << wrong;
        ::setenv("HL_DBL_FAULTS", "", 1);
        ASSERT_EQ(syn.synInitialize(), synSuccess);
    }
    order("synDeviceMalloc:2=synOutOfDeviceMemory , synEventCreate:1=synAllResourcesTaken");
    acquire();
    uint64_t address = 0;
    synEventHandle event = nullptr;
    EXPECT_EQ(syn.synDeviceMalloc(device, 4096, 0, 0, &address), synSuccess);
    EXPECT_EQ(syn.synDeviceMalloc(device, 4096, 0, 0, &address), synOutOfDeviceMemory);
    EXPECT_EQ(syn.synDeviceMalloc(device, 4096, 0, 0, &address), synSuccess);
    EXPECT_EQ(syn.synEventCreate(&event, device, 0), synAllResourcesTaken);
    EXPECT_EQ(syn.synEventCreate(&event, device, 0), synSuccess);
}

// --- the device ---

TEST_F(Device, IsCounted)
{
    uint32_t count = 0, size = 0;
    std::array<uint32_t, 4> ids{};
    EXPECT_EQ(syn.synDeviceGetCount(&count), synSuccess);
    EXPECT_EQ(count, 1u);
    EXPECT_EQ(syn.synDeviceGetCountByDeviceType(&count, synDeviceGaudi3), synSuccess);
    EXPECT_EQ(count, 0u);
    EXPECT_EQ(syn.synDeviceGetModuleIDs(ids.data(), &size), synInvalidArgument) << "room for none";
    size = ids.size();
    EXPECT_EQ(syn.synDeviceGetModuleIDs(ids.data(), &size), synSuccess);
    EXPECT_EQ(size, 1u);
    EXPECT_EQ(ids[0], PlayedNode::module_id);
}

// G3SW device_manager.cpp: one per process, whose id is 0.
TEST_F(Device, IsAcquiredOnce)
{
    EXPECT_EQ(syn.synDeviceRelease(0), synNoDeviceFound);
    acquire();
    EXPECT_EQ(device, 0u);
    synDeviceId second = 7;
    EXPECT_EQ(syn.synDeviceAcquireByModuleId(&second, PlayedNode::module_id), synDeviceAlreadyAcquired);
    EXPECT_EQ(syn.synDeviceAcquire(&second, nullptr), synDeviceAlreadyAcquired);
    EXPECT_EQ(second, 7u);
    EXPECT_EQ(syn.synDeviceRelease(0), synSuccess);
    EXPECT_EQ(syn.synDeviceAcquire(&second, "0000:4d:00.0"), synSuccess);
    EXPECT_EQ(syn.synDeviceRelease(0), synSuccess);
    EXPECT_EQ(syn.synDeviceAcquireByDeviceType(&second, synDeviceGaudi2), synSuccess);
}

// G3SW osal_linux.cpp openControlFD, deviceInfoSet, openComputeFD.
TEST_F(Device, ThatCannotBeHadHasAStatus)
{
    EXPECT_EQ(syn.synDeviceAcquireByModuleId(&device, 5), synNoDeviceFound);
    EXPECT_EQ(device, UINT32_MAX);
    EXPECT_EQ(syn.synDeviceAcquire(&device, "0000:01:00.0"), synNoDeviceFound);
    EXPECT_EQ(syn.synDeviceAcquireByDeviceType(&device, synDeviceGaudi3), synDeviceTypeMismatch);
    const UniqueFd other(::open(PlayedNode::compute_path, O_RDWR | O_CLOEXEC));
    EXPECT_EQ(syn.synDeviceAcquireByModuleId(&device, PlayedNode::module_id), synNoDeviceFound);
    EXPECT_EQ(syn.synDeviceAcquire(&device, "0000:4d:00.0"), synFail);
}

// HCL synapse_api.h synDeviceGetInfoV2; UCX gaudi_base.c asks for device -1. Without one: G3SW device_manager.cpp.
TEST_F(Device, TellsWhatItIs)
{
    synDeviceInfoV2 info{};
    EXPECT_EQ(syn.synDeviceGetInfoV2(0, &info), synFail) << "none is acquired";
    acquire();
    ASSERT_EQ(syn.synDeviceGetInfoV2(device, &info), synSuccess);
    EXPECT_EQ(info.deviceType, synDeviceGaudi2);
    EXPECT_EQ(info.deviceId, PlayedNode::module_id);
    EXPECT_EQ(info.dramSize, 3 * PlayedNode::page);
    EXPECT_EQ(habanalabs::device_status({.fd = info.fd}), uapi::status_operational) << "the fd is the node's";
    synDeviceInfo first{};
    EXPECT_EQ(syn.synDeviceGetInfo(UINT32_MAX, &first), synSuccess);
    EXPECT_EQ(first.fd, info.fd);
    EXPECT_EQ(syn.synDeviceGetInfoV2(1, &info), synInvalidArgument);
    std::array<char, 16> address{};
    EXPECT_EQ(syn.synDeviceGetPCIBusId(address.data(), address.size(), device), synSuccess);
    EXPECT_STREQ(address.data(), "0000:4d:00.0");
    EXPECT_EQ(syn.synDeviceGetPCIBusId(address.data(), 12, device), synInvalidArgument);
}

// G3SW efd_controller.cpp: the one eventfd of the node is the runtime's.
TEST_F(Device, OwnsTheEventfd)
{
    acquire();
    const auto registered = habanalabs::node_info<uint64_t>({.fd = node_fd()}, uapi::info_register_eventfd, 0);
    EXPECT_EQ(registered.error_or(0), EINVAL);
}

// --- HBM ---

// G3SW scal_init_gaudi2.cpp: what the runtime has acquired leaves nothing to the driver.
TEST_F(HbmMemory, IsTakenAtAcquire)
{
    acquire();
    const uapi::MemArgs args{.word = {1, 0, 0}, .op = uapi::mem_alloc, .flags = 0, .ctx_id = 0, .count = 0};
    EXPECT_EQ(habanalabs::node_call(node_fd(), uapi::accel_ioctls.memory, args).error_or(0), ENOMEM);
}

// HCL synapse_api.h synDeviceMalloc: 128-byte aligned, no more; G3SW: inside global_hbm, inside the mapping.
TEST_F(HbmMemory, LiesInOnePool)
{
    acquire();
    const auto pool = syn.pool(node_fd());
    EXPECT_EQ(pool.totalSize, 3 * PlayedNode::page - (1 << 20) - 4096);
    EXPECT_GT(pool.device_base_address, pool.device_base_allocated_address);
    uint64_t free = 0, total = 0;
    ASSERT_EQ(syn.synDeviceGetMemoryInfo(device, &free, &total), synSuccess);
    EXPECT_EQ(total, pool.totalSize);
    EXPECT_EQ(free, pool.freeSize);
    std::vector<uint64_t> addresses;
    for (const uint64_t bytes : std::to_array<uint64_t>({1, 4096, 12441600, 100}))
        addresses.push_back(allocate(bytes));
    for (const uint64_t address : addresses) {
        EXPECT_EQ(address % 128, 0u);
        EXPECT_NE(address % 4096, 0u) << "a caller that needs more than 128 has to see to it";
        EXPECT_GE(address, pool.device_base_address);
    }
    EXPECT_EQ(syn.pool(node_fd()).freeSize, free - 128 - 4096 - 12441600 - 128);
    for (const uint64_t address : addresses)
        EXPECT_EQ(syn.synDeviceFree(device, address, 0), synSuccess);
    EXPECT_EQ(syn.synDeviceFree(device, addresses[0], 0), synInvalidArgument);
    EXPECT_EQ(syn.pool(node_fd()).freeSize, free);
}

TEST_F(HbmMemory, Ends)
{
    acquire();
    uint64_t free = 0, total = 0, address = 1;
    ASSERT_EQ(syn.synDeviceGetMemoryInfo(device, &free, &total), synSuccess);
    EXPECT_EQ(syn.synDeviceMalloc(device, free + 128, 0, 0, &address), synOutOfDeviceMemory);
    EXPECT_EQ(syn.synDeviceMalloc(device, 0, 0, 0, &address), synInvalidArgument);
    EXPECT_EQ(syn.synDeviceMalloc(device, free, 0, 0, &address), synSuccess);
    EXPECT_EQ(syn.synDeviceMalloc(device, 1, 0, 0, &address), synOutOfDeviceMemory);
}

// HCL hl_ofi_component.cpp:501-525: (start of the mapping, offset) is what the driver exports, not the address.
TEST_F(HbmMemory, IsExportedByItsMapping)
{
    acquire();
    const int fd = node_fd();
    const auto base = syn.pool(fd).device_base_allocated_address;
    const uint64_t frame = (allocate(8192 + 4096) + 4095) & ~uint64_t{4095};
    EXPECT_EQ(habanalabs::export_memory({.fd = fd}, frame, 8192, 0).error_or(0), EINVAL);
    auto exported = habanalabs::export_memory({.fd = fd}, base, 8192, frame - base);
    ASSERT_TRUE(exported);
    EXPECT_EQ(::mmap(nullptr, 8192, PROT_READ, MAP_SHARED, exported->get(), 0), MAP_FAILED);

    // K7.2 memory.c: an exported mapping is not undone, and its file keeps the device.
    testing::internal::CaptureStderr();
    EXPECT_EQ(syn.synDeviceRelease(device), synFail);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("exported"), std::string::npos);
    EXPECT_EQ(syn.synDeviceAcquireByModuleId(&device, PlayedNode::module_id), synNoDeviceFound);
    exported->reset();
    acquire();
}

TEST_F(HbmMemory, IsKnownToScalByDescriptorAndName)
{
    scal_handle_t handle = nullptr;
    scal_pool_handle_t pool = nullptr;
    EXPECT_NE(syn.scal_get_handle_from_fd(3, &handle), 0) << "nothing is acquired";
    acquire();
    const int fd = node_fd();
    EXPECT_NE(syn.scal_get_handle_from_fd(fd + 1, &handle), 0);
    ASSERT_EQ(syn.scal_get_handle_from_fd(fd, &handle), 0);
    EXPECT_NE(syn.scal_get_pool_handle_by_name(handle, "no_pool", &pool), 0);
}

// --- copies ---

// HCL synapse_api.h synMemCopyAsync: the host's side has to be mapped.
TEST_F(Copies, WantHostMemoryMapped)
{
    acquire();
    const auto stream = new_stream();
    const uint64_t hbm = allocate(8192);
    std::vector<uint8_t> plain(8192);
    const auto host = reinterpret_cast<uintptr_t>(plain.data());
    EXPECT_EQ(syn.synMemCopyAsync(stream, host, 8192, hbm, HOST_TO_DRAM), synMappingNotFound);
    EXPECT_EQ(syn.synMemCopyAsync(stream, hbm, 8192, host, DRAM_TO_HOST), synMappingNotFound);
    {
        const Mapped mapped(syn, 8192);
        EXPECT_EQ(syn.synMemCopyAsync(stream, mapped.address(), 8192, hbm, HOST_TO_DRAM), synSuccess);
        EXPECT_EQ(syn.synMemCopyAsync(stream, mapped.address() + 1, 8192, hbm, HOST_TO_DRAM), synMappingNotFound);
        EXPECT_EQ(syn.synStreamSynchronize(stream), synSuccess);
    }
    EXPECT_EQ(syn.synHostUnmap(device, plain.data()), synInvalidArgument) << "it never was mapped";
}

TEST_F(Copies, MoveBytesEachWay)
{
    acquire();
    const auto stream = new_stream();
    constexpr size_t bytes = 20 << 20; // more than one packet moves
    Mapped from(syn, bytes), to(syn, bytes);
    std::iota(from.bytes().begin(), from.bytes().end(), uint8_t{3});
    const uint64_t first = allocate(bytes + 100), second = allocate(bytes);
    EXPECT_EQ(syn.synMemCopyAsync(stream, from.address(), bytes, first + 100, HOST_TO_DRAM), synSuccess);
    EXPECT_EQ(syn.synMemCopyAsync(stream, first + 100, bytes, second, DRAM_TO_DRAM), synSuccess);
    EXPECT_EQ(syn.synMemCopyAsync(stream, second, bytes, to.address(), DRAM_TO_HOST), synSuccess);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synSuccess);
    EXPECT_TRUE(from.bytes() == to.bytes());
}

TEST_F(Copies, GoSeveralToACall)
{
    acquire();
    const auto stream = new_stream();
    void *host = nullptr;
    ASSERT_EQ(syn.synHostMalloc(device, 4096, 0, &host), synSuccess);
    auto *const bytes = static_cast<uint8_t *>(host);
    std::iota(bytes, bytes + 1024, uint8_t{0});
    const uint64_t hbm = allocate(4096);
    const auto at = reinterpret_cast<uintptr_t>(host);
    const std::array<uint64_t, 2> down{at, at + 256}, size{256, 256}, place{hbm + 512, hbm}, back{at + 2048, at + 2560};
    EXPECT_EQ(syn.synMemCopyAsyncMultiple(stream, down.data(), size.data(), place.data(), HOST_TO_DRAM, 2), synSuccess);
    EXPECT_EQ(syn.synMemCopyAsyncMultiple(stream, place.data(), size.data(), back.data(), DRAM_TO_HOST, 2), synSuccess);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synSuccess);
    EXPECT_EQ(std::memcmp(bytes, bytes + 2048, 256), 0);
    EXPECT_EQ(std::memcmp(bytes + 256, bytes + 2560, 256), 0);
    const std::array<uint64_t, 2> one_unmapped{at, 4096};
    EXPECT_EQ(syn.synMemCopyAsyncMultiple(stream, one_unmapped.data(), size.data(), place.data(), HOST_TO_DRAM, 2),
              synMappingNotFound);
    EXPECT_EQ(syn.synStreamQuery(stream), synSuccess) << "of a refused call nothing is done";
    EXPECT_EQ(syn.synHostFree(device, host, 0), synSuccess);
    EXPECT_EQ(syn.synHostFree(device, host, 0), synInvalidArgument);
}

// --- streams and events ---

// HCL synapse_api.h synStreamQuery, synStreamDestroy: Busy while work is pending.
TEST_F(Streams, AreAsynchronous)
{
    acquire();
    const auto stream = new_stream();
    const uint64_t hbm = allocate(4096);
    Mapped from(syn, 4096, 0x5a), to(syn, 4096);
    syn.hold(true);
    EXPECT_EQ(syn.synStreamQuery(stream), synSuccess);
    EXPECT_EQ(syn.synMemCopyAsync(stream, from.address(), 4096, hbm, HOST_TO_DRAM), synSuccess);
    EXPECT_EQ(syn.synMemCopyAsync(stream, hbm, 4096, to.address(), DRAM_TO_HOST), synSuccess);
    EXPECT_EQ(syn.synStreamQuery(stream), synBusy);
    EXPECT_EQ(syn.synStreamDestroy(stream), synBusy);
    EXPECT_EQ(to.bytes()[0], 0);
    syn.hold(false);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synSuccess);
    EXPECT_EQ(syn.synStreamQuery(stream), synSuccess);
    EXPECT_TRUE(to.bytes() == from.bytes());
    EXPECT_EQ(syn.synStreamDestroy(stream), synSuccess);
    EXPECT_EQ(syn.synStreamQuery(stream), synInvalidArgument);
}

TEST_F(Streams, TellTheirProgressByEvents)
{
    acquire();
    const auto stream = new_stream();
    const auto event = new_event();
    EXPECT_EQ(syn.synEventQuery(event), synSuccess) << "never recorded (ours)";
    syn.hold(true);
    EXPECT_EQ(syn.synEventRecord(event, stream), synSuccess);
    EXPECT_EQ(syn.synEventQuery(event), synBusy);
    syn.hold(false);
    EXPECT_EQ(syn.synEventSynchronize(event), synSuccess);
    EXPECT_EQ(syn.synEventQuery(event), synSuccess);
    EXPECT_EQ(syn.synEventDestroy(event), synSuccess);
    EXPECT_EQ(syn.synEventQuery(event), synInvalidEventHandle);
    EXPECT_EQ(syn.synEventRecord(event, stream), synInvalidEventHandle);
}

// A stall is one stream's; who waits for its event waits, who does not goes on.
TEST_F(Streams, WaitForEachOthersEvents)
{
    order("synMemCopyAsync:1=stall");
    acquire();
    const auto stalled = new_stream(), waiting = new_stream(), free = new_stream();
    const auto never = new_event(), after = new_event(), soon = new_event();
    const uint64_t hbm = allocate(4096);
    const Mapped host(syn, 4096);
    EXPECT_EQ(syn.synMemCopyAsync(stalled, host.address(), 4096, hbm, HOST_TO_DRAM), synSuccess);
    EXPECT_EQ(syn.synEventRecord(never, stalled), synSuccess);
    EXPECT_EQ(syn.synStreamWaitEvent(waiting, never, 0), synSuccess);
    EXPECT_EQ(syn.synEventRecord(after, waiting), synSuccess);
    EXPECT_EQ(syn.synMemCopyAsync(free, host.address(), 4096, hbm, HOST_TO_DRAM), synSuccess);
    EXPECT_EQ(syn.synEventRecord(soon, free), synSuccess);
    EXPECT_EQ(syn.synStreamWaitEvent(free, soon, 0), synSuccess);
    EXPECT_EQ(syn.synStreamSynchronize(free), synSuccess);
    EXPECT_EQ(syn.synStreamQuery(stalled), synBusy);
    EXPECT_EQ(syn.synEventQuery(never), synBusy);
    EXPECT_EQ(syn.synEventQuery(after), synBusy);
}

TEST_F(Streams, TakeLongerOnOrder)
{
    order("synMemCopyAsync:1=delay:150ms");
    acquire();
    const auto stream = new_stream();
    const Mapped host(syn, 4096);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(syn.synMemCopyAsync(stream, host.address(), 4096, allocate(4096), HOST_TO_DRAM), synSuccess);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synSuccess);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(150));
}

// --- failures ---

// Every call says DeviceReset from then on, and what waits returns; after a release the device is new.
TEST_F(Failures, EndEverythingUntilTheRelease)
{
    order("lost@synDeviceMalloc:1");
    acquire();
    const auto stream = new_stream();
    const auto event = new_event();
    void *host = nullptr;
    ASSERT_EQ(syn.synHostMalloc(device, 4096, 0, &host), synSuccess);
    testing::internal::CaptureStderr();
    uint64_t address = 0;
    EXPECT_EQ(syn.synDeviceMalloc(device, 4096, 0, 0, &address), synDeviceReset);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("device failure: ordered at synDeviceMalloc"),
              std::string::npos);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synDeviceReset);
    EXPECT_EQ(syn.synStreamQuery(stream), synDeviceReset);
    EXPECT_EQ(syn.synEventRecord(event, stream), synDeviceReset);
    EXPECT_EQ(syn.synEventQuery(event), synDeviceReset);
    synDeviceInfoV2 info{};
    EXPECT_EQ(syn.synDeviceGetInfoV2(device, &info), synDeviceReset);
    EXPECT_EQ(syn.synDeviceRelease(device), synSuccess);
    acquire();
    EXPECT_EQ(syn.synDeviceMalloc(device, 4096, 0, 0, &address), synSuccess);
}

// K7.2 device.c hl_device_cond_reset: the driver tells the eventfd, and aborts. A stalled stream ends by it.
TEST_F(Failures, AreToldByTheDriver)
{
    order("synMemCopyAsync:1=stall");
    ::setenv("HL_NODE_FAULTS", "lost@flush:1", 1);
    acquire();
    const auto stream = new_stream();
    void *host = nullptr;
    ASSERT_EQ(syn.synHostMalloc(device, 4096, 0, &host), synSuccess);
    EXPECT_EQ(syn.synMemCopyAsync(stream, reinterpret_cast<uintptr_t>(host), 4096, allocate(4096), HOST_TO_DRAM),
              synSuccess);
    const auto control = hl::test::open_control();
    EXPECT_EQ(hl::test::status_of(control.get()), uapi::status_operational);
    testing::internal::CaptureStderr();
    EXPECT_EQ(habanalabs::flush_inbound_writes({.fd = node_fd()}).error_or(0), EBUSY);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synDeviceReset);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("the driver tells events 0x4"), std::string::npos);
    EXPECT_EQ(hl::test::status_of(control.get()), uapi::status_in_reset);
    EXPECT_EQ(syn.synDeviceRelease(device), synSuccess);
    EXPECT_EQ(hl::test::status_of(control.get()), uapi::status_operational);
    acquire();
}

TEST_F(Failures, ComeOfMemoryThatIsNotThere)
{
    acquire();
    const auto stream = new_stream();
    void *host = nullptr;
    ASSERT_EQ(syn.synHostMalloc(device, 8192, 0, &host), synSuccess);
    const uint64_t hbm = allocate(8192);
    syn.hold(true);
    EXPECT_EQ(syn.synMemCopyAsync(stream, reinterpret_cast<uintptr_t>(host), 8192, hbm, HOST_TO_DRAM), synSuccess);
    EXPECT_EQ(syn.synDeviceFree(device, hbm, 0), synSuccess) << "too early: the copy is on its way";
    testing::internal::CaptureStderr();
    syn.hold(false);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synDeviceReset);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("memory that is not there"), std::string::npos);
}

// G3SW dfa_base.cpp:1738-1780, the runtime's default.
TEST_F(Failures, KillTheProcessIfSo)
{
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            ::setenv("HL_DBL_ON_FAILURE", "kill", 1);
            order("lost@synEventCreate:1");
            acquire();
            (void)new_event();
        },
        testing::KilledBySignal(SIGKILL), "device failure");
}

TEST_F(Failures, SettingIsReadStrictly)
{
    ASSERT_EQ(syn.synDestroy(), synSuccess);
    {
        const ScopedEnv wrong("HL_DBL_ON_FAILURE", "maybe");
        EXPECT_EQ(syn.synInitialize(), synInvalidArgument);
    }
    ASSERT_EQ(syn.synInitialize(), synSuccess);
}

// What hangs does not keep the device from being released (the runtime waits for it: ours).
TEST_F(Failures, OfAStreamEndWithTheRelease)
{
    order("synMemCopyAsync:1=stall");
    acquire();
    const auto stream = new_stream();
    const Mapped host(syn, 4096);
    EXPECT_EQ(syn.synMemCopyAsync(stream, host.address(), 4096, allocate(4096), HOST_TO_DRAM), synSuccess);
    EXPECT_EQ(syn.synStreamQuery(stream), synBusy);
    EXPECT_EQ(syn.synDeviceRelease(device), synSuccess);
    acquire();
    EXPECT_EQ(syn.synStreamQuery(stream), synInvalidArgument) << "its handle went with the device";
}

// --- the doubles that are wrong on purpose ---

TEST(WrongDoubles, DifferInOneThingEach)
{
    std::array<char, 64> text{};
    decltype(::synDriverGetVersion) *version = nullptr;
    const Library old(hl::test::double_folder() + "/old-version/libSynapse.so");
    old.resolve(version, "synDriverGetVersion");
    EXPECT_EQ(version(text.data(), text.size()), synSuccess);
    EXPECT_TRUE(std::string_view(text.data()).starts_with("1.15."));
#define SYN_EXISTS(function, arguments) EXPECT_TRUE(old.symbol(#function)) << #function;
    SYNAPSE_DOUBLE_FUNCTIONS(SYN_EXISTS)
#undef SYN_EXISTS

    const Library other(hl::test::double_folder() + "/other-abi/libSynapse.so");
    other.resolve(version, "synDriverGetVersion");
    EXPECT_EQ(version(text.data(), text.size()), synSuccess);
    for (const char *missing : {"synStreamCreateGeneric", "synEventCreate", "synRecipeDeSerialize",
                                "synDeviceGetInfoV2", "synTensorRetrieveLaunchInfoById"})
        EXPECT_FALSE(other.symbol(missing)) << missing;
    EXPECT_TRUE(other.symbol("synStreamCreate")) << "of a kind, in 2021";
}
