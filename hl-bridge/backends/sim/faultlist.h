// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace hl::sim {

// Where a fault can strike. Each point counts its events from 1, from the opening of the device on.
enum class FaultPoint : uint8_t {
    Alloc,  // Device::allocate(), both placements
    Export, // Device::export_dmabuf(), both placements
    Copy,   // a copy request (one per CopyRequest)
    Submit, // an inference request (one per InferRequest); "frame" is another word for it
};
inline constexpr size_t fault_points = 4;

// What happens to one event.
struct Fault {
    int error = 0;                      // fails with this errno
    std::chrono::nanoseconds delay{0};  // takes longer by this
    bool stall = false;                 // never completes until the device is lost or closed
    bool lost = false;                  // the device is lost first

    [[nodiscard]] explicit operator bool() const noexcept { return error || delay.count() || stall || lost; }
};

// The value of HL_SIM_FAULTS:
//
//   list   = item *( "," item )           spaces around items are ignored
//   item   = "hbm-full"                   every allocation of Device memory fails
//          | point ":" N "=" effect       strikes the N-th event of that point (N from 1)
//          | "lost@" point ":" N          the device is lost at the N-th event
//   point  = "alloc" | "export" | "copy" | "submit" | "frame"      (frame is submit)
//   effect = ERRNO                        a name as in errno.h, e.g. ENOMEM, EIO
//          | "delay:" T ( "us" | "ms" | "s" )      copy and submit only, T at most one hour
//          | "stall"                      copy and submit only: never completes until loss or close
//
// EAGAIN on a copy or submit refuses it with QueueFull, as the driver does with too many submissions in flight; any
// other errno on a copy fails its completion, on a submit its submission.
class FaultList {
public:
    // Errors: DeviceConfig naming the item and the grammar.
    [[nodiscard]] static Result<FaultList> parse(std::string_view text);

    // Counts one event and returns what happens to it. No malloc.
    [[nodiscard]] Fault next(FaultPoint point) noexcept;
    [[nodiscard]] bool hbm_full() const noexcept { return hbm_full_; }
    [[nodiscard]] bool strikes(FaultPoint point) const noexcept;

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
    bool hbm_full_ = false;
};

// "delay:" durations and settings: a decimal number followed by us, ms or s; nullopt if malformed or above one hour.
[[nodiscard]] std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) noexcept;

} // namespace hl::sim
