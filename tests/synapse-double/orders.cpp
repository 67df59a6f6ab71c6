// SPDX-License-Identifier: LGPL-2.1-or-later
#include "orders.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace hl::dbl {
namespace {

std::string_view trimmed(std::string_view text)
{
    const auto from = text.find_first_not_of(" \t\n");
    return from == std::string_view::npos ? std::string_view()
                                          : text.substr(from, text.find_last_not_of(" \t\n") - from + 1);
}

std::optional<uint64_t> number(std::string_view text)
{
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

std::optional<std::chrono::nanoseconds> duration(std::string_view text)
{
    using namespace std::chrono;
    constexpr std::array<std::pair<std::string_view, nanoseconds>, 3> units{
        {{"us", microseconds(1)}, {"ms", milliseconds(1)}, {"s", seconds(1)}}};
    for (const auto &[unit, length] : units)
        if (text.ends_with(unit)) {
            const auto count = number(text.substr(0, text.size() - unit.size()));
            if (!count || *count > static_cast<uint64_t>(hours(1) / length))
                return std::nullopt;
            return length * static_cast<int64_t>(*count);
        }
    return std::nullopt;
}

} // namespace

std::optional<Orders::Item> Orders::parse_item(std::string_view text, const Grammar &grammar)
{
    constexpr std::string_view lost = "lost@", delay = "delay:";
    Item item;
    item.order.lost = text.starts_with(lost);
    if (item.order.lost)
        text.remove_prefix(lost.size());
    const auto equals = item.order.lost ? text.size() : text.find('=');
    const auto colon = text.find(':');
    if (colon == std::string_view::npos || equals == std::string_view::npos || colon > equals)
        return std::nullopt;
    item.name = text.substr(0, colon);
    const auto at = number(text.substr(colon + 1, equals - colon - 1));
    if (!at || *at == 0 || !std::ranges::contains(grammar.names, item.name))
        return std::nullopt;
    item.at = *at;
    if (item.order.lost)
        return item;
    const std::string_view effect = text.substr(equals + 1);
    const bool timed = std::ranges::contains(grammar.timed, item.name);
    if (effect == "stall") {
        item.order.stall = true;
        return timed ? std::optional(item) : std::nullopt;
    }
    if (effect.starts_with(delay)) {
        const auto length = duration(effect.substr(delay.size()));
        item.order.delay = length.value_or(std::chrono::nanoseconds(0));
        return timed && length ? std::optional(item) : std::nullopt;
    }
    item.order.code = grammar.code(effect);
    return item.order.code ? std::optional(item) : std::nullopt;
}

std::expected<Orders, std::string> Orders::parse(std::string_view text, const Grammar &grammar)
{
    Orders orders;
    if (trimmed(text).empty())
        return orders;
    for (;;) {
        const auto comma = text.find(',');
        const std::string_view one = trimmed(text.substr(0, comma));
        auto item = parse_item(one, grammar);
        if (!item)
            return std::unexpected("\"" + std::string(one.substr(0, 80)) + "\" is no order (orders.h)");
        orders.items_.push_back(std::move(*item));
        if (comma == std::string_view::npos)
            return orders;
        text.remove_prefix(comma + 1);
    }
}

Order Orders::next(std::string_view name)
{
    Order out;
    if (items_.empty())
        return out;
    const std::lock_guard lock(mutex_);
    auto at = count_.find(name);
    if (at == count_.end())
        at = count_.emplace(std::string(name), 0).first;
    const uint64_t n = ++at->second;
    for (const Item &item : items_) {
        if (item.name != name || item.at != n)
            continue;
        if (item.order.code)
            out.code = item.order.code;
        out.delay += item.order.delay;
        out.stall |= item.order.stall;
        out.lost |= item.order.lost;
    }
    return out;
}

} // namespace hl::dbl
