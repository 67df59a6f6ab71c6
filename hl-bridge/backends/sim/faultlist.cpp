// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/faultlist.h"

#include "core/text.h"
#include "device/driveranswer.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <format>
#include <string>
#include <utility>

namespace hl::sim {
namespace {

constexpr std::string_view grammar =
    "a comma list of hbm-full, POINT:N=ERRNO, POINT:N=delay:20ms, POINT:N=stall, POINT:N=stall:1s and lost@POINT:N "
    "with POINT one of open, recover, alloc, alloc-device, alloc-host, pages, release, export, udmabuf, resolve, "
    "copy-submit, copy, flush, fence, engine, configure, submit (= frame), run, N from 1; delay and stall only for "
    "copy, submit and run; release only with EINVAL, EBUSY or ENODEV";

std::optional<uint64_t> parse_number(std::string_view text) noexcept
{
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty())
        return std::nullopt;
    return value;
}

std::optional<FaultPoint> parse_point(std::string_view name) noexcept
{
    constexpr std::array<std::pair<std::string_view, FaultPoint>, fault_points + 1> points{
        {{"open", FaultPoint::Open},
         {"recover", FaultPoint::Recover},
         {"alloc", FaultPoint::Alloc},
         {"alloc-device", FaultPoint::AllocDevice},
         {"alloc-host", FaultPoint::AllocHost},
         {"pages", FaultPoint::Pages},
         {"release", FaultPoint::Release},
         {"export", FaultPoint::Export},
         {"udmabuf", FaultPoint::Udmabuf},
         {"resolve", FaultPoint::Resolve},
         {"copy-submit", FaultPoint::CopySubmit},
         {"copy", FaultPoint::Copy},
         {"flush", FaultPoint::Flush},
         {"fence", FaultPoint::Fence},
         {"engine", FaultPoint::Engine},
         {"configure", FaultPoint::Configure},
         {"submit", FaultPoint::Submit},
         {"frame", FaultPoint::Submit},
         {"run", FaultPoint::Run}}};
    for (const auto &[text, point] : points)
        if (text == name)
            return point;
    return std::nullopt;
}

std::optional<int> parse_errno(std::string_view name) noexcept
{
    constexpr int last_errno = 133; // EHWPOISON
    for (int e = 1; e <= last_errno; ++e)
        if (const char *text = strerrorname_np(e); text && name == text)
            return e;
    return std::nullopt;
}

} // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) noexcept
{
    using namespace std::chrono;
    constexpr std::array<std::pair<std::string_view, nanoseconds>, 3> units{
        {{"us", microseconds(1)}, {"ms", milliseconds(1)}, {"s", seconds(1)}}};
    for (const auto &[unit, length] : units) {
        if (!text.ends_with(unit))
            continue;
        const auto count = parse_number(text.substr(0, text.size() - unit.size()));
        if (!count || *count > static_cast<uint64_t>(hours(1) / length))
            return std::nullopt;
        return length * static_cast<int64_t>(*count);
    }
    return std::nullopt;
}

bool FaultList::parse_effect(std::string_view effect, Item &item)
{
    const bool timed =
        item.point == FaultPoint::Copy || item.point == FaultPoint::Submit || item.point == FaultPoint::Run;
    if (effect == "stall") {
        item.fault.stall = true;
        return timed;
    }
    if (constexpr std::string_view prefix = "stall:"; effect.starts_with(prefix)) {
        const auto patience = parse_duration(effect.substr(prefix.size()));
        item.fault.stall = true;
        item.fault.patience = patience.value_or(driver_patience);
        return patience && timed;
    }
    if (constexpr std::string_view prefix = "delay:"; effect.starts_with(prefix)) {
        const auto delay = parse_duration(effect.substr(prefix.size()));
        item.fault.delay = delay.value_or(std::chrono::nanoseconds(0));
        return delay && timed;
    }
    const auto error = parse_errno(effect);
    item.fault.error = error.value_or(0);
    return error && (item.point != FaultPoint::Release || *error == EINVAL || call_says_lost(*error));
}

bool FaultList::parse_item(std::string_view text)
{
    if (text == "hbm-full") {
        hbm_full_ = true;
        return true;
    }
    Item item;
    constexpr std::string_view lost = "lost@";
    item.fault.lost = text.starts_with(lost);
    if (item.fault.lost)
        text.remove_prefix(lost.size());

    const auto colon = text.find(':');
    if (colon == std::string_view::npos)
        return false;
    const auto point = parse_point(text.substr(0, colon));
    if (!point)
        return false;
    item.point = *point;
    const auto equals = item.fault.lost ? text.size() : text.find('=', colon);
    if (equals == std::string_view::npos)
        return false;
    const auto at = parse_number(text.substr(colon + 1, equals - colon - 1));
    if (!at || *at == 0)
        return false;
    item.at = *at;
    if (!item.fault.lost && !parse_effect(text.substr(equals + 1), item))
        return false;
    items_.push_back(item);
    return true;
}

Result<FaultList> FaultList::parse(std::string_view text)
{
    FaultList list;
    if (trimmed(text).empty())
        return list;
    for (;;) {
        const auto comma = text.find(',');
        const std::string_view item = trimmed(text.substr(0, comma));
        if (!list.parse_item(item))
            return fail(ErrorCode::DeviceConfig, "read HL_SIM_FAULTS",
                        std::format("HL_SIM_FAULTS: \"{}\" is not a fault", shown(item)), std::string(grammar));
        if (comma == std::string_view::npos)
            return list;
        text.remove_prefix(comma + 1);
    }
}

Fault FaultList::next(FaultPoint point) noexcept
{
    const uint64_t number = ++count_[static_cast<size_t>(point)];
    Fault out;
    for (const Item &item : items_) {
        if (item.point != point || item.at != number)
            continue;
        if (item.fault.error)
            out.error = item.fault.error;
        out.delay += item.fault.delay;
        if (item.fault.stall)
            out.patience = item.fault.patience;
        out.stall |= item.fault.stall;
        out.lost |= item.fault.lost;
    }
    out.ends = out.error && (point == FaultPoint::Copy || point == FaultPoint::Run);
    struck_ += out ? 1 : 0;
    return out;
}

Fault FaultList::next(FaultPoint submission, FaultPoint end) noexcept
{
    const Fault first = next(submission);
    Fault both = next(end);
    if (first.error) {
        both.error = first.error;
        both.ends = false;
    }
    both.delay += first.delay;
    if (first.stall)
        both.patience = first.patience;
    both.stall |= first.stall;
    both.lost |= first.lost;
    return both;
}

bool FaultList::strikes(FaultPoint point) const noexcept
{
    for (const Item &item : items_)
        if (item.point == point)
            return true;
    return false;
}

} // namespace hl::sim
