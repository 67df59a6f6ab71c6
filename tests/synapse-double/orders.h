// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hl::dbl {

// What is ordered for one call.
struct Order {
    std::optional<int> code;           // it fails with this: a synStatus, or an errno
    std::chrono::nanoseconds delay{0}; // its work takes longer by this
    bool stall = false;                // its work never ends by itself
    bool lost = false;                 // the device fails first
};

// Failures on order, the value of HL_DBL_FAULTS (the runtime's calls) and of HL_NODE_FAULTS (the played driver's):
//
//   list   = item *( "," item )         spaces around items are ignored; an empty list orders nothing
//   item   = NAME ":" N "=" effect      strikes the N-th call of NAME in this process, N from 1
//          | "lost@" NAME ":" N         the device fails just before it
//   effect = CODE                       a name, such as synFail or EIO
//          | "delay:" T ( "us" | "ms" | "s" )     timed calls only, one hour at most
//          | "stall"                              likewise
//
// Thread safe.
class Orders {
public:
    // Which names there are, which of them are timed, and what a code is called.
    struct Grammar {
        std::span<const std::string_view> names, timed;
        std::optional<int> (*code)(std::string_view name);
    };

    // The error names the item.
    [[nodiscard]] static std::expected<Orders, std::string> parse(std::string_view text, const Grammar &grammar);

    Orders() = default;
    Orders(Orders &&other) noexcept : items_(std::move(other.items_)), count_(std::move(other.count_)) {}
    // Not while another thread counts.
    Orders &operator=(Orders &&other) noexcept
    {
        items_ = std::move(other.items_);
        count_ = std::move(other.count_);
        return *this;
    }

    // Counts a call.
    [[nodiscard]] Order next(std::string_view name);

private:
    struct Item {
        std::string name;
        uint64_t at = 0;
        Order order;
    };

    [[nodiscard]] static std::optional<Item> parse_item(std::string_view text, const Grammar &grammar);

    std::mutex mutex_;
    std::vector<Item> items_;
    std::map<std::string, uint64_t, std::less<>> count_;
};

} // namespace hl::dbl
