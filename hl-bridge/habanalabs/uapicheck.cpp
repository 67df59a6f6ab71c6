// SPDX-License-Identifier: LGPL-2.1-or-later

// Compares uapi.h with the system's header, where there is one of the accel generation. No code.
#include "habanalabs/uapi.h"

#if __has_include(<drm/habanalabs_accel.h>)
#include <drm/habanalabs_accel.h>

namespace uapi = hl::habanalabs::uapi;

#define HL_SAME(ours, our_field, theirs, their_field)                                                                  \
    static_assert(offsetof(uapi::ours, our_field) == offsetof(theirs, their_field) &&                                  \
                  sizeof(uapi::ours::our_field) == sizeof(theirs::their_field))

static_assert(sizeof(uapi::InfoArgs) == sizeof(hl_info_args));
HL_SAME(InfoArgs, return_pointer, hl_info_args, return_pointer);
HL_SAME(InfoArgs, return_size, hl_info_args, return_size);
HL_SAME(InfoArgs, op, hl_info_args, op);
HL_SAME(InfoArgs, argument, hl_info_args, eventfd);
HL_SAME(InfoArgs, pad, hl_info_args, pad);

static_assert(sizeof(uapi::HwIpInfo) == sizeof(hl_info_hw_ip_info));
HL_SAME(HwIpInfo, dram_base_address, hl_info_hw_ip_info, dram_base_address);
HL_SAME(HwIpInfo, dram_size, hl_info_hw_ip_info, dram_size);
HL_SAME(HwIpInfo, device_id, hl_info_hw_ip_info, device_id);
HL_SAME(HwIpInfo, module_id, hl_info_hw_ip_info, module_id);
HL_SAME(HwIpInfo, dram_enabled, hl_info_hw_ip_info, dram_enabled);
HL_SAME(HwIpInfo, cpucp_version, hl_info_hw_ip_info, cpucp_version);
HL_SAME(HwIpInfo, card_name, hl_info_hw_ip_info, card_name);
HL_SAME(HwIpInfo, dram_page_size, hl_info_hw_ip_info, dram_page_size);
HL_SAME(HwIpInfo, reserved_dram_size, hl_info_hw_ip_info, reserved_dram_size);

static_assert(sizeof(uapi::DeviceStatus) == sizeof(hl_info_device_status));
static_assert(sizeof(uapi::OpenStats) == sizeof(hl_open_stats_info));
HL_SAME(OpenStats, is_compute_ctx_active, hl_open_stats_info, is_compute_ctx_active);
HL_SAME(OpenStats, compute_ctx_in_release, hl_open_stats_info, compute_ctx_in_release);

static_assert(sizeof(uapi::CbArgs) == sizeof(hl_cb_args));
HL_SAME(CbArgs, handle, hl_cb_in, cb_handle);
HL_SAME(CbArgs, op, hl_cb_in, op);
HL_SAME(CbArgs, size, hl_cb_in, cb_size);
HL_SAME(CbArgs, flags, hl_cb_in, flags);
static_assert(offsetof(hl_cb_out, cb_handle) == 0);

static_assert(sizeof(uapi::CsChunk) == sizeof(hl_cs_chunk));
HL_SAME(CsChunk, cb, hl_cs_chunk, cb_handle);
HL_SAME(CsChunk, queue, hl_cs_chunk, queue_index);
HL_SAME(CsChunk, cb_size, hl_cs_chunk, cb_size);
HL_SAME(CsChunk, flags, hl_cs_chunk, cs_chunk_flags);

static_assert(sizeof(uapi::CsArgs) == sizeof(hl_cs_args));
HL_SAME(CsArgs, chunks_restore, hl_cs_in, chunks_restore);
HL_SAME(CsArgs, chunks_execute, hl_cs_in, chunks_execute);
HL_SAME(CsArgs, num_chunks_execute, hl_cs_in, num_chunks_execute);
HL_SAME(CsArgs, timeout, hl_cs_in, timeout);
HL_SAME(CsArgs, flags, hl_cs_in, cs_flags);
static_assert(offsetof(hl_cs_out, seq) == 0);

static_assert(sizeof(uapi::WaitArgs) == sizeof(hl_wait_cs_args));
HL_SAME(WaitArgs, seq, hl_wait_cs_in, seq);
HL_SAME(WaitArgs, timeout_us, hl_wait_cs_in, timeout_us);
HL_SAME(WaitArgs, flags, hl_wait_cs_in, flags);
static_assert(offsetof(hl_wait_cs_out, status) == 0);

static_assert(sizeof(uapi::MemArgs) == sizeof(hl_mem_args));
HL_SAME(MemArgs, op, hl_mem_in, op);
HL_SAME(MemArgs, flags, hl_mem_in, flags);
static_assert(offsetof(hl_mem_in, alloc.mem_size) == 0 && offsetof(hl_mem_in, free.handle) == 0);
static_assert(offsetof(hl_mem_in, map_device.handle) == 8 && offsetof(hl_mem_in, unmap.device_virt_addr) == 0);
static_assert(offsetof(hl_mem_in, map_host.host_virt_addr) == 0 && offsetof(hl_mem_in, map_host.mem_size) == 16);
static_assert(offsetof(hl_mem_in, export_dmabuf_fd.addr) == 0 && offsetof(hl_mem_in, export_dmabuf_fd.mem_size) == 8 &&
              offsetof(hl_mem_in, export_dmabuf_fd.offset) == 16);
static_assert(offsetof(hl_mem_out, device_virt_addr) == 0 && offsetof(hl_mem_out, handle) == 0 &&
              offsetof(hl_mem_out, fd) == 0);

static_assert(uapi::info_hw_ip == HL_INFO_HW_IP_INFO && uapi::info_device_status == HL_INFO_DEVICE_STATUS &&
              uapi::info_open_stats == HL_INFO_OPEN_STATS && uapi::info_register_eventfd == HL_INFO_REGISTER_EVENTFD &&
              uapi::info_unregister_eventfd == HL_INFO_UNREGISTER_EVENTFD &&
              uapi::info_get_events == HL_INFO_GET_EVENTS);
static_assert(uapi::event_device_reset == HL_NOTIFIER_EVENT_DEVICE_RESET &&
              uapi::event_cs_timeout == HL_NOTIFIER_EVENT_CS_TIMEOUT &&
              uapi::event_device_unavailable == HL_NOTIFIER_EVENT_DEVICE_UNAVAILABLE);
static_assert(uapi::status_operational == uint32_t{HL_DEVICE_STATUS_OPERATIONAL} &&
              uapi::status_in_reset == uint32_t{HL_DEVICE_STATUS_IN_RESET} &&
              uapi::status_malfunction == uint32_t{HL_DEVICE_STATUS_MALFUNCTION} &&
              uapi::status_needs_reset == uint32_t{HL_DEVICE_STATUS_NEEDS_RESET} &&
              uapi::status_in_device_creation == uint32_t{HL_DEVICE_STATUS_IN_DEVICE_CREATION} &&
              uapi::status_in_reset_after_release == uint32_t{HL_DEVICE_STATUS_IN_RESET_AFTER_DEVICE_RELEASE});
static_assert(uapi::cb_create == HL_CB_OP_CREATE && uapi::cb_destroy == HL_CB_OP_DESTROY);
static_assert(uapi::cs_chunk_user_alloc_cb == HL_CS_CHUNK_FLAGS_USER_ALLOC_CB &&
              uapi::cs_custom_timeout == HL_CS_FLAGS_CUSTOM_TIMEOUT &&
              uapi::cs_flush_pci_hbw_writes == HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES);
static_assert(uapi::wait_completed == HL_WAIT_CS_STATUS_COMPLETED && uapi::wait_busy == HL_WAIT_CS_STATUS_BUSY &&
              uapi::wait_timed_out == HL_WAIT_CS_STATUS_TIMEDOUT && uapi::wait_aborted == HL_WAIT_CS_STATUS_ABORTED);
static_assert(uapi::mem_alloc == HL_MEM_OP_ALLOC && uapi::mem_free == HL_MEM_OP_FREE &&
              uapi::mem_map == HL_MEM_OP_MAP && uapi::mem_unmap == HL_MEM_OP_UNMAP &&
              uapi::mem_export == HL_MEM_OP_EXPORT_DMABUF_FD && uapi::mem_userptr == HL_MEM_USERPTR);
static_assert(uapi::accel_ioctls.info == DRM_IOCTL_HL_INFO && uapi::accel_ioctls.cb == DRM_IOCTL_HL_CB &&
              uapi::accel_ioctls.cs == DRM_IOCTL_HL_CS && uapi::accel_ioctls.wait_cs == DRM_IOCTL_HL_WAIT_CS &&
              uapi::accel_ioctls.memory == DRM_IOCTL_HL_MEMORY);
#endif
