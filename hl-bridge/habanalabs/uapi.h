// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>

// The part of the habanalabs driver's interface that gst-habana uses, as include/uapi/drm/habanalabs_accel.h of the
// kernel defines it. Ours, so that it builds where that header is missing or older; uapicheck.cpp compares it with the
// system's. All argument structures are read and written in place: the kernel overwrites the whole of them, also when a
// call fails (drivers/gpu/drm/drm_ioctl.c drm_ioctl), so they are made anew for every call.
namespace hl::habanalabs::uapi {

struct InfoArgs {
    uint64_t return_pointer;
    uint32_t return_size;
    uint32_t op;
    uint32_t argument; // by op: an eventfd, ...
    uint32_t pad;
};
static_assert(sizeof(InfoArgs) == 24 && offsetof(InfoArgs, op) == 12 && offsetof(InfoArgs, argument) == 16);

enum InfoOp : uint32_t {
    info_hw_ip = 0,
    info_device_status = 4,
    info_open_stats = 18,
    info_register_eventfd = 28,
    info_unregister_eventfd = 29,
    info_get_events = 30, // reads and clears
};

// Zero-initialise it: an older kernel leaves the tail alone.
struct HwIpInfo {
    uint64_t sram_base_address;
    uint64_t dram_base_address; // Gaudi2: start of the virtual range; Gaudi: the first byte that a user may have
    uint64_t dram_size;         // what a user may have
    uint32_t sram_size;
    uint32_t num_of_events;
    uint32_t device_id; // PCI device id
    uint32_t module_id;
    uint32_t decoder_enabled_mask;
    uint16_t first_available_interrupt_id;
    uint16_t server_type;
    uint32_t cpld_version;
    uint32_t psoc_pci_pll[4];
    uint8_t tpc_enabled_mask;
    uint8_t dram_enabled;
    uint8_t security_enabled;
    uint8_t mme_master_slave_mode;
    char cpucp_version[128];
    char card_name[16];
    uint64_t tpc_enabled_mask_ext;
    uint64_t dram_page_size;
    uint32_t edma_enabled_mask;
    uint16_t number_of_user_interrupts;
    uint8_t reserved1[2];
    uint64_t reserved3;
    uint64_t device_mem_alloc_default_page_size;
    uint64_t reserved4[2];
    uint32_t reserved6;
    uint8_t reserved7;
    uint8_t revision_id;
    uint16_t tpc_interrupt_id;
    uint32_t rotator_enabled_mask;
    uint32_t reserved9;
    uint64_t engine_core_interrupt_reg_addr;
    uint64_t reserved_dram_size;
};
static_assert(sizeof(HwIpInfo) == 304);
static_assert(offsetof(HwIpInfo, dram_base_address) == 8 && offsetof(HwIpInfo, dram_size) == 16);
static_assert(offsetof(HwIpInfo, device_id) == 32 && offsetof(HwIpInfo, module_id) == 36);
static_assert(offsetof(HwIpInfo, dram_enabled) == 69 && offsetof(HwIpInfo, cpucp_version) == 72);
static_assert(offsetof(HwIpInfo, card_name) == 200 && offsetof(HwIpInfo, dram_page_size) == 224);

struct DeviceStatus {
    uint32_t status;
    uint32_t pad;
};
static_assert(sizeof(DeviceStatus) == 8);

enum Status : uint32_t {
    status_operational = 0,
    status_in_reset = 1,
    status_malfunction = 2,
    status_needs_reset = 3,
    status_in_device_creation = 4,
    status_in_reset_after_release = 5,
};

struct OpenStats {
    uint64_t open_counter;
    uint64_t last_open_period_ms;
    uint8_t is_compute_ctx_active;
    uint8_t compute_ctx_in_release;
    uint8_t pad[6];
};
static_assert(sizeof(OpenStats) == 24 && offsetof(OpenStats, is_compute_ctx_active) == 16);

enum Event : uint64_t {
    event_device_reset = 1 << 2,
    event_cs_timeout = 1 << 3,
    event_device_unavailable = 1 << 4,
};

// HL_IOCTL_CB: a command buffer that the kernel allocates (Gaudi).
struct CbArgs {
    uint64_t handle; // in: destroy; out: create
    uint32_t op;
    uint32_t size;
    uint32_t ctx_id;
    uint32_t flags;
};
static_assert(sizeof(CbArgs) == 24 && offsetof(CbArgs, op) == 8 && offsetof(CbArgs, size) == 12);

enum CbOp : uint32_t { cb_create = 0, cb_destroy = 1 };

struct CsChunk {
    uint64_t cb; // a handle, or the device's address of a user's command buffer
    uint32_t queue;
    uint32_t cb_size;
    uint32_t flags;
    uint32_t collective_engine_id;
    uint32_t pad[10];
};
static_assert(sizeof(CsChunk) == 64 && offsetof(CsChunk, queue) == 8 && offsetof(CsChunk, flags) == 16);

inline constexpr uint32_t cs_chunk_user_alloc_cb = 0x1;

struct CsArgs {
    uint64_t chunks_restore; // out: the sequence number of the submission
    uint64_t chunks_execute;
    uint64_t seq;
    uint32_t num_chunks_restore;
    uint32_t num_chunks_execute;
    uint32_t timeout; // seconds, with cs_custom_timeout
    uint32_t flags;
    uint32_t ctx_id;
    uint8_t pad[4];
};
static_assert(sizeof(CsArgs) == 48 && offsetof(CsArgs, num_chunks_execute) == 28);
static_assert(offsetof(CsArgs, timeout) == 32 && offsetof(CsArgs, flags) == 36);

enum CsFlag : uint32_t { cs_custom_timeout = 0x200, cs_flush_pci_hbw_writes = 0x8000 };

struct WaitArgs {
    uint64_t seq; // out: u32 status, u32 flags
    uint64_t timeout_us;
    uint32_t ctx_id;
    uint32_t flags;
    uint64_t rest[4];
};
static_assert(sizeof(WaitArgs) == 56 && offsetof(WaitArgs, timeout_us) == 8 && offsetof(WaitArgs, flags) == 20);

enum WaitStatus : uint32_t { wait_completed = 0, wait_busy = 1, wait_timed_out = 2, wait_aborted = 3 };

struct MemArgs {
    uint64_t word[3]; // by op, see there; out: word[0]
    uint32_t op;
    uint32_t flags;
    uint32_t ctx_id;
    uint32_t count;
};
static_assert(sizeof(MemArgs) == 40 && offsetof(MemArgs, op) == 24 && offsetof(MemArgs, flags) == 28);

enum MemOp : uint32_t {
    mem_alloc = 0,  // {size, page size}
    mem_free = 1,   // {handle}
    mem_map = 2,    // {hint, handle}; with mem_userptr {host address, hint, size}
    mem_unmap = 3,  // {device address}
    mem_export = 5, // {device address, size, offset}; flags: the descriptor's; out: s32 fd
};
inline constexpr uint32_t mem_userptr = 0x4;

// What differs between the two generations of the driver: the numbers alone (the structures grew at their ends, and
// both take any size: habanalabs_ioctl.c of Linux 6.6 hl_ioctl, drm_ioctl).
struct IoctlNumbers {
    unsigned long info, cb, cs, wait_cs, memory;
};

namespace detail {
constexpr unsigned long iowr(unsigned type, unsigned number, size_t size) // asm-generic/ioctl.h
{
    return 3ul << 30 | static_cast<unsigned long>(size) << 16 | static_cast<unsigned long>(type) << 8 | number;
}
constexpr IoctlNumbers numbers(unsigned type, unsigned first)
{
    return {.info = iowr(type, first, sizeof(InfoArgs)),
            .cb = iowr(type, first + 1, sizeof(CbArgs)),
            .cs = iowr(type, first + 2, sizeof(CsArgs)),
            .wait_cs = iowr(type, first + 3, sizeof(WaitArgs)),
            .memory = iowr(type, first + 4, sizeof(MemArgs))};
}
} // namespace detail

// /dev/accel/accelN, Linux 6.7 and later: DRM driver ioctls from DRM_COMMAND_BASE.
inline constexpr IoctlNumbers accel_ioctls = detail::numbers('d', 0x40);
// /dev/hlN, Linux 5.16 to 6.6. Nobody here has run it.
inline constexpr IoctlNumbers legacy_ioctls = detail::numbers('H', 0x01);

} // namespace hl::habanalabs::uapi
