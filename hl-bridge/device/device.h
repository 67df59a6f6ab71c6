// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "core/uniquefd.h"
#include "device/completion.h"
#include "device/deviceinfo.h"
#include "device/devicelisting.h"
#include "device/memory.h"

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace hl {

class Engine;
struct EngineOptions;
struct Model;

// A rectangle of bytes to move: `rows` rows of `row_bytes`; offsets are into the memories. One row is a plain copy.
struct CopyRegion {
    Memory source;
    Memory target;
    uint64_t source_offset = 0;
    uint64_t target_offset = 0;
    uint64_t source_stride = 0; // bytes, ignored for one row
    uint64_t target_stride = 0;
    uint64_t row_bytes = 0;
    uint32_t rows = 1;
};

// One DMA request of up to four regions (a plane each); it completes as one. All regions go the same way (Host to
// Device, Device to Host or Device to Device).
struct CopyRequest {
    uint64_t id = 0; // the caller's; comes back in the Completion; unique among this listener's requests in flight
    std::array<CopyRegion, 4> region{};
    size_t regions = 0;
    Deadline deadline = no_deadline;
};

// One Gaudi, real or simulated, with its allocator. Speaks in values, handles and descriptors only, so that a proxy in
// another process can implement it; the one exception, host_span(), is about pages of this process.
// Thread safe. One object per chip and process.
class Device : public std::enable_shared_from_this<Device> {
public:
    // Opens `spec`: "auto", "sim", "sim:NAME", "accel0", "0000:4d:00.0", "module:3"; empty means $HL_DEVICE, then
    // "auto". A real Gaudi is reached through SynapseAI where that can be used, else through the kernel's driver alone;
    // $HL_RUNTIME, or "synapse:" or "kernel:" before the specification, decide otherwise. Returns the process's object
    // for that chip if there is one (recovering it if it was lost), else makes it. Errors: DeviceSpec, DeviceNotFound,
    // DeviceBusy (also: open through the other runtime), DevicePermission, DeviceUnusable, DeviceConfig, Synapse*.
    [[nodiscard]] static Result<std::shared_ptr<Device>> open(std::string_view spec);

    // What open() would find, without opening a node: one entry per device that HABANA_VISIBLE_MODULES and _DEVICES do
    // not hide. The simulator only where no Gaudi is on the PCI bus, as with open("auto").
    [[nodiscard]] static std::vector<DeviceListing> enumerate();

    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;
    virtual ~Device();

    [[nodiscard]] virtual const DeviceInfo &info() const noexcept = 0;
    // Process-unique, never 0, never reused.
    [[nodiscard]] uint32_t id() const noexcept { return id_; }
    // Grows by one at every loss. Memories of an earlier generation are refused with MemoryStale.
    [[nodiscard]] virtual uint32_t generation() const noexcept = 0;
    // True from a loss until recover().
    [[nodiscard]] virtual bool lost() const noexcept = 0;
    // Opens the chip again after a loss. All memories of earlier generations stay invalid. Errors as open().
    [[nodiscard]] virtual Status recover() = 0;

    // Allocates `size` bytes, rounded up to export_page, aligned to it. Contents of Device memory are undefined, Host
    // pages are zero; `pages` matters for Host placement only. Errors: MemoryFull, MemoryHost, FdLimit, DeviceLost.
    [[nodiscard]] virtual Result<Memory> allocate(uint64_t size, Placement placement,
                                                  HostPages pages = HostPages::Base) = 0;
    // Gives an allocation back. Refused with MemoryExported while an export of it is open anywhere (kernel: memory.c
    // unmap_device_va refuses an exported mapping); a memory of an earlier generation is already gone and this
    // succeeds.
    [[nodiscard]] virtual Status release(const Memory &memory) = 0;

    // A new descriptor (O_CLOEXEC) whose byte 0 is memory.offset, which must be export_page aligned. Device placement:
    // a dma-buf that cannot be mmapped. Host placement: a udmabuf, or the memfd itself where /dev/udmabuf is missing
    // (offset must then be 0). Errors: MemoryExport, FdLimit, MemoryRange, MemoryStale, DeviceLost.
    [[nodiscard]] virtual Result<UniqueFd> export_dmabuf(const Memory &memory) = 0;
    // The memory behind a descriptor that export_dmabuf() made (or a dup of it). Errors: MemoryForeign, MemoryStale.
    [[nodiscard]] virtual Result<Memory> resolve_dmabuf(int fd) = 0;

    // The CPU's view of Host memory, mapped for the life of the allocation. Errors: MemoryForeign (also for Device
    // placement), MemoryStale.
    [[nodiscard]] virtual Result<std::span<std::byte>> host_span(const Memory &memory) = 0;

    // Queues copies. Either all are accepted (each completes once) or none (error, no completion). The requests are
    // copied before the call returns. Memories must stay allocated until the completion. A deadline that passes
    // completes the request with CopyTimeout once the engine has let go of the memories. Errors: MemoryStale,
    // MemoryRange, MemoryForeign, CopyFailed, QueueFull, DeviceLost.
    [[nodiscard]] virtual Status submit(std::span<const CopyRequest> requests, CompletionListener &listener) = 0;

    // submit() and wait, for room in the queue as well. `regions` at most 4.
    [[nodiscard]] Status copy(std::span<const CopyRegion> regions, Deadline deadline = no_deadline);

    // Makes writes that PCI peers completed before this call visible to launches after it
    // (HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES, habanalabs command_submission.c). Microseconds. Errors: DeviceLost.
    [[nodiscard]] virtual Status flush_inbound_writes() = 0;

    // Waits until the readers and writers that fenced an exported dma-buf are done with it
    // (DMA_BUF_IOCTL_EXPORT_SYNC_FILE, then poll). FALSE for a descriptor that never has fences and need not be asked
    // again: it is no dma-buf, or the kernel is without the ioctl. Errors: FenceTimeout, FdLimit.
    [[nodiscard]] virtual Result<bool> wait_readers(int fd, Deadline deadline);

    // Loads a model for this device. Errors: the Model* codes, DeviceLost.
    [[nodiscard]] virtual Result<std::shared_ptr<Engine>> create_engine(const Model &model,
                                                                        const EngineOptions &options) = 0;

    // Bytes of HBM allocated now and exports open now, anywhere: the witnesses for leak tests.
    struct Usage {
        uint64_t device_bytes = 0;
        uint64_t host_bytes = 0;
        uint32_t exports_open = 0;
        uint32_t requests_pending = 0;
    };
    [[nodiscard]] virtual Usage usage() const = 0;

protected:
    Device() noexcept;

    // What wait_readers() answers to an errno of the ioctl, or of the poll behind it.
    [[nodiscard]] Result<bool> fence_answer(int err) const;

private:
    const uint32_t id_;
};

// An allocation that is released when the owner dies. Keeps the device alive. Errors at release are logged, not thrown.
class OwnedMemory {
public:
    OwnedMemory() noexcept = default;
    OwnedMemory(std::shared_ptr<Device> device, const Memory &memory) noexcept;
    OwnedMemory(OwnedMemory &&other) noexcept;
    OwnedMemory &operator=(OwnedMemory &&other) noexcept;
    ~OwnedMemory();

    [[nodiscard]] static Result<OwnedMemory> allocate(std::shared_ptr<Device> device, uint64_t size,
                                                      Placement placement, HostPages pages = HostPages::Base);

    [[nodiscard]] const Memory &get() const noexcept { return memory_; }
    [[nodiscard]] const std::shared_ptr<Device> &device() const noexcept { return device_; }
    [[nodiscard]] explicit operator bool() const noexcept { return device_ != nullptr; }
    void reset() noexcept;

private:
    std::shared_ptr<Device> device_;
    Memory memory_;
};

} // namespace hl
