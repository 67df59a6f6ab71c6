// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <format>
#include <functional>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Tables of the rules that the habanalabs driver has for its user space: each row is one rule with its source in the
// kernel, the operation that meets it, and what has to come of it on each chip. Sources are files of Linux
// drivers/accel/habanalabs, in common/ where no folder is said, and functions.
namespace hl::test {

// What an operation has to come to.
struct Expected {
    enum class Kind : uint8_t { Granted, Refused, Apart } kind = Kind::Granted;
    std::optional<ErrorCode> code; // nullopt: below the layer that has codes
    int sys_errno = 0;
    std::string_view why; // Apart: why the rule cannot be met there
};

constexpr Expected granted()
{
    return {};
}
constexpr Expected refused(ErrorCode code, int sys_errno)
{
    return {.kind = Expected::Kind::Refused, .code = code, .sys_errno = sys_errno, .why = {}};
}
constexpr Expected refused(int sys_errno)
{
    return {.kind = Expected::Kind::Refused, .code = {}, .sys_errno = sys_errno, .why = {}};
}
constexpr Expected apart(std::string_view why)
{
    return {.kind = Expected::Kind::Apart, .code = {}, .sys_errno = 0, .why = why};
}

// An errno of a layer that knows no more, as what a rule answers; 0 is none.
inline Status answer(int sys_errno)
{
    return sys_errno ? Status(fail(ErrorCode::Internal, "rule", "an errno alone", {}, sys_errno)) : Status();
}
// Of an observation that the rule demands.
inline Status holds_true(bool right, std::string_view what)
{
    return right ? Status() : Status(fail(ErrorCode::Internal, "rule", std::string(what)));
}
template <class T>
Status outcome(const Result<T> &result)
{
    return result ? Status() : Status(std::unexpected(result.error()));
}

// Bits of the columns that a row's exceptions are for.
using Columns = unsigned;

template <class Rig>
struct Rule {
    std::string_view rule;
    std::string_view source;
    std::string_view operation;
    Expected expected;
    std::vector<std::pair<Columns, Expected>> unless; // the first that has the column's bit
    std::function<Status(Rig &)> ask;

    [[nodiscard]] const Expected &of(Columns column) const
    {
        for (const auto &[columns, other] : unless)
            if (columns & column)
                return other;
        return expected;
    }
};

template <class Rig>
struct Column {
    Columns bit;
    std::string_view name;
    std::function<std::unique_ptr<Rig>()> make; // a new one for every row
};

inline std::string short_errno(int sys_errno)
{
    const std::string text = errno_text(sys_errno);
    return text.substr(0, text.find(' '));
}

// "" where `seen` is what was expected.
inline std::string judge(const Expected &expected, const Status &seen)
{
    if (expected.kind == Expected::Kind::Granted)
        return seen ? "" : "refused: " + seen.error().details() + ": " + seen.error().cause;
    if (seen)
        return "succeeded";
    if (expected.code && seen.error().code != *expected.code)
        return "another code: " + seen.error().details();
    if (seen.error().sys_errno != expected.sys_errno)
        return "another errno: " + seen.error().details() + ": " + seen.error().cause;
    return "";
}

// Asks every rule of every column, and prints the table with what was seen.
template <class Rig>
void check_rules(std::span<const Rule<Rig>> rules, std::span<const Column<Rig>> columns)
{
    size_t asked = 0, stand_apart = 0;
    for (const Rule<Rig> &rule : rules) {
        std::cout << std::format("{}\n    {} [{}]\n", rule.rule, rule.operation, rule.source);
        for (const Column<Rig> &column : columns) {
            const Expected &expected = rule.of(column.bit);
            if (expected.kind == Expected::Kind::Apart) {
                ++stand_apart;
                std::cout << std::format("        {:18} not here: {}\n", column.name, expected.why);
                continue;
            }
            ++asked;
            const auto rig = column.make();
            const std::string wrong = judge(expected, rule.ask(*rig));
            const std::string what =
                expected.kind == Expected::Kind::Granted
                    ? "granted"
                    : std::format("{}{}refused", expected.code ? error_code_name(*expected.code) : "",
                                  expected.code ? " " : "") +
                          (expected.sys_errno ? " with " + short_errno(expected.sys_errno) : "");
            std::cout << std::format("        {:18} {}: {}\n", column.name, wrong.empty() ? "ok" : "WRONG", what);
            EXPECT_EQ(wrong, "") << rule.rule << " (" << rule.source << ") on " << column.name;
        }
    }
    std::cout << std::format("{} rules, {} times asked, {} times not there\n", rules.size(), asked, stand_apart);
}

} // namespace hl::test
