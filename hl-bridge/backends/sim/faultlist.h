// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/driveranswer.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace hl::sim {

// Where a fault can strike. Each point counts its events from 1, from the opening of the device on.
enum class FaultPoint : uint8_t {
    Open,        // the opening of the device, which has one
    Recover,     // Device::recover()
    Alloc,       // Device::allocate(), both placements
    AllocDevice, // of Device placement
    AllocHost,   // of Host placement: the pinning of the pages
    Pages,       // of Host placement: the pages themselves, which the host gives
    Release,     // Device::release() of Device placement
    Export,      // Device::export_dmabuf(), both placements
    Udmabuf,     // of Host placement: the descriptor, which the host makes
    Resolve,     // Device::resolve_dmabuf()
    CopySubmit,  // a copy request (one per CopyRequest) when it is submitted
    Copy,        // the same when it ends
    Flush,       // Device::flush_inbound_writes()
    Fence,       // Device::wait_readers()
    Engine,      // Device::create_engine()
    Configure,   // Engine::configure()
    Submit,      // an inference request (one per InferRequest) when it is submitted; "frame" is another word for it
    Run,         // the same when it ends
};
inline constexpr size_t fault_points = 18;

// What happens to one event.
struct Fault {
    int error = 0;                                       // fails with this errno
    std::chrono::nanoseconds delay{0};                   // takes longer by this
    bool stall = false;                                  // never completes until the device is lost or closed
    std::chrono::nanoseconds patience = driver_patience; // for what stalls; then the device is lost
    bool lost = false;                                   // the device is lost first
    bool ends = false;                                   // the errno is that of the completion

    [[nodiscard]] explicit operator bool() const noexcept { return error || delay.count() || stall || lost; }
};

// The value of HL_SIM_FAULTS:
//
//   list   = item *( "," item )           spaces around items are ignored
//   item   = "hbm-full"                   every allocation of Device memory fails
//          | point ":" N "=" effect       strikes the N-th event of that point (N from 1)
//          | "lost@" point ":" N          the device is lost at the N-th event
//   point  = "open" | "recover" | "alloc" | "alloc-device" | "alloc-host" | "pages" | "release" | "export" | "udmabuf"
//          | "resolve" | "copy-submit" | "copy" | "flush" | "fence" | "engine" | "configure" | "submit" | "frame" |
//          "run"
//   effect = ERRNO                        a name as in errno.h, e.g. ENOMEM, EIO; of release EINVAL (exported still),
//                                         EBUSY or ENODEV only
//          | "delay:" T ( "us" | "ms" | "s" )      copy, submit and run only, T at most one hour
//          | "stall" [ ":" T unit ]       copy, submit and run only: does not complete; after T (else 5 s) the driver
//                                         loses its patience and resets the device
//
// An errno becomes the error that the driver's would (device/driveranswer.h): where the driver so says that the device
// is lost, it is. EAGAIN on a copy-submit, copy, submit or run refuses it with QueueFull, as a queue does that has no
// room; any other errno fails the completion of a copy or run, and refuses what the other points are about.
class FaultList {
public:
    // Errors: DeviceConfig naming the item and the grammar.
    [[nodiscard]] static Result<FaultList> parse(std::string_view text);

    // Counts one event and returns what happens to it. No malloc.
    [[nodiscard]] Fault next(FaultPoint point) noexcept;
    // Both events of one request.
    [[nodiscard]] Fault next(FaultPoint submission, FaultPoint end) noexcept;
    [[nodiscard]] bool hbm_full() const noexcept { return hbm_full_; }
    [[nodiscard]] bool strikes(FaultPoint point) const noexcept;
    // Events so far that something happened to.
    [[nodiscard]] uint64_t struck() const noexcept { return struck_; }

private:
    struct Item {
        FaultPoint point = FaultPoint::Alloc;
        uint64_t at = 0;
        Fault fault;
    };

    [[nodiscard]] bool parse_item(std::string_view item);
    [[nodiscard]] static bool parse_effect(std::string_view effect, Item &item);

    std::vector<Item> items_;
    std::array<uint64_t, fault_points> count_{};
    uint64_t struck_ = 0;
    bool hbm_full_ = false;
};

// "delay:" durations and settings: a decimal number followed by us, ms or s; nullopt if malformed or above one hour.
[[nodiscard]] std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) noexcept;

} // namespace hl::sim
