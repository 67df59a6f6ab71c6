// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/fileid.h"
#include "core/uniquefd.h"
#include "habanalabs/uapi.h"
#include "orders.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hl::dbl {

// A Gaudi2 and its driver, played in this process for programs that have no /dev/accel: what open() and ioctl() of
// /dev/accel/accel0 and accel_controlD0 answer (habananode.cpp puts it in their place). Rules of Linux 7.2
// drivers/accel/habanalabs:
//  - one user of the compute node at a time (habanalabs_drv.c hl_device_open), which lasts until the node and all its
//    dma-bufs are closed, in whatever process (memory.c hl_export_dmabuf takes the file);
//  - HBM in pages of 768 MiB, at virtual addresses (gaudi2.c); UNMAP refuses what is exported (memory.c
//    unmap_device_va), EXPORT wants the start of a mapping, whole pages, and a range inside (memory.c
//    validate_export_params); its dma-buf cannot be mapped by the CPU (memory.c habanalabs_dmabuf_ops);
//  - command buffers of the user alone, on the queues PDMA_0_0 and PDMA_1_0 alone; of packets LIN_DMA and NOP;
//  - one eventfd per open (habanalabs_ioctl.c eventfd_register); events are read and cleared;
//  - a reset, which HL_NODE_FAULTS orders (lost@POINT:N) or an address brings about that nobody mapped: waits are
//    aborted with EIO, all other calls but INFO refused with EBUSY, the event is told (device.c hl_device_cond_reset),
//    and the next open is EAGAIN until the last user is gone.
// Not played: what happens to a user who does not go within 30 s, the reset after each release, kernel command buffers.
//
// Descriptors are ends of socket pairs: a last close of theirs, wherever it happens, hangs up the other end, which
// stays here. HL_NODE_HBM_PAGES: pages of HBM, 3 unless set. HL_NODE_LOCK: a file; programs that name the same one
// exclude each other as users of one device do. Settings are read at each open (calls are counted on while
// HL_NODE_FAULTS stays as it is); a malformed one makes that EINVAL. Thread safe.
class PlayedNode {
public:
    static constexpr const char *compute_path = "/dev/accel/accel0";
    static constexpr const char *control_path = "/dev/accel/accel_controlD0";
    static constexpr uint64_t page = 768ull << 20;
    static constexpr uint32_t module_id = 3;

    [[nodiscard]] static PlayedNode &instance();

    // A descriptor, or minus an errno.
    [[nodiscard]] int open(bool control, bool close_on_exec);
    // What /proc/self/fdinfo says of a dma-buf: a descriptor, or minus an errno; nullopt: it is none of ours.
    [[nodiscard]] std::optional<int> open_fdinfo(int fd);
    // 0 or minus an errno; nullopt: no descriptor of ours, or no ioctl of this driver.
    [[nodiscard]] std::optional<int> ioctl(int fd, unsigned long number, void *argument);

private:
    struct Allocation {
        uint64_t bytes = 0;
        std::byte *data = nullptr;
        uint64_t address = 0; // 0: not mapped
    };
    struct Mapping {
        std::span<std::byte> bytes;
        uint64_t handle = 0; // 0: pages of the user
    };
    struct Export {
        UniqueFd ours;
        FileId file{};
        uint64_t address = 0; // of the mapping
        uint64_t bytes = 0;
    };
    // From an open of the compute node until its last user is gone.
    struct Session {
        UniqueFd ours;
        FileId file{};
        std::map<uint64_t, Allocation> allocations;
        std::map<uint64_t, Mapping> mappings;
        std::vector<Export> exports;
        UniqueFd eventfd;
        uint64_t events = 0;
        uint64_t last_handle = 0, last_sequence = 0;
        uint64_t next_host_address = 0xFFF0000000000000; // gaudi2.h VA_HOST_SPACE_PAGE_START
        bool lost = false;

        Session() = default;
        Session(const Session &) = delete;
        Session &operator=(const Session &) = delete;
        ~Session();
    };

    PlayedNode() = default;

    // FALSE: a setting is malformed, which was told.
    [[nodiscard]] bool configure();
    void prune();
    // Of HL_NODE_LOCK, until it is closed everywhere; none where that is not set. Errors: an errno, EBUSY while another
    // process has it.
    [[nodiscard]] static std::expected<UniqueFd, int> take_lock();
    void lose();
    [[nodiscard]] int make_node(UniqueFd &ours, FileId &file, bool close_on_exec);
    // What is ordered for this call: an errno, or 0.
    [[nodiscard]] int strike(const char *point);

    [[nodiscard]] int info(habanalabs::uapi::InfoArgs &args, bool control);
    [[nodiscard]] habanalabs::uapi::HwIpInfo hw_info() const;
    [[nodiscard]] int memory(habanalabs::uapi::MemArgs &args, int node);
    [[nodiscard]] int allocate(habanalabs::uapi::MemArgs &args);
    [[nodiscard]] int map_device(habanalabs::uapi::MemArgs &args);
    [[nodiscard]] int map_host(habanalabs::uapi::MemArgs &args);
    [[nodiscard]] int unmap(uint64_t address);
    [[nodiscard]] int free(uint64_t handle);
    [[nodiscard]] int export_memory(habanalabs::uapi::MemArgs &args, int node);
    [[nodiscard]] int submit(habanalabs::uapi::CsArgs &args);
    [[nodiscard]] int wait(habanalabs::uapi::WaitArgs &args);
    // FALSE: the chip faults.
    [[nodiscard]] bool run(std::span<const std::byte> packets);
    [[nodiscard]] std::byte *at(uint64_t address, uint64_t bytes);

    std::mutex mutex_;
    std::string faults_; // what orders_ was read from
    Orders orders_;
    uint64_t hbm_pages_ = 0;
    std::unique_ptr<Session> session_;
    std::map<FileId, UniqueFd> controls_;
    uint64_t opens_ = 0;
};

} // namespace hl::dbl
