// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/copycounters.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/latencyhistogram.h"
#include "core/tensorshape.h"
#include "core/text.h"
#include "core/uniquefd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>

#include <cerrno>
#include <limits>
#include <set>

using testing::AllOf;
using testing::HasSubstr;

TEST(Error, HeadlineAndDetailsCarryEveryField)
{
    const hl::Error error{hl::ErrorCode::MemoryFull, "allocate", ENOMEM, "sim", "no 4096 bytes left", "free some"};
    EXPECT_EQ(error.headline(), "HL-MEM-001: no 4096 bytes left");
    EXPECT_THAT(error.details(), AllOf(HasSubstr("HL-MEM-001"), HasSubstr("allocate"), HasSubstr("ENOMEM (12, "),
                                       HasSubstr("sim"), HasSubstr("free some")));
}

TEST(Error, CodesAreUnique)
{
    std::set<std::string_view> seen;
#define HL_X(name, text, meaning) EXPECT_TRUE(seen.insert(hl::error_code_name(hl::ErrorCode::name)).second) << text;
    HL_ERROR_CODES(HL_X)
#undef HL_X
}

TEST(Text, TrimmedLosesTheBlanksOfBothEndsOnly)
{
    EXPECT_EQ(hl::trimmed(" \t\r\n\f\va b\t\n"), "a b");
    EXPECT_EQ(hl::trimmed("a"), "a");
    EXPECT_EQ(hl::trimmed(" \n"), "");
    EXPECT_EQ(hl::trimmed(""), "");
}

TEST(Text, ShownSteersNoTerminal)
{
    EXPECT_EQ(hl::shown("plain, gr\xc3\xbcn \xe9\xb3\xa5 \xf0\x9f\x90\xa6"),
              "plain, gr\xc3\xbcn \xe9\xb3\xa5 \xf0\x9f\x90\xa6");
    EXPECT_EQ(hl::shown(std::string_view("a\x1b[2J\n\r\t\0\x7f", 10)), "a?[2J?????");
    EXPECT_EQ(hl::shown("\xc2\x9b"
                        "2J \xe2\x80\xae"
                        "x\xe2\x81\xa9"),
              "?2J ?x?");                                                 // U+009B, U+202E, U+2069
    EXPECT_EQ(hl::shown("\xc2\xa0\xe2\x80\xa7"), "\xc2\xa0\xe2\x80\xa7"); // their neighbours
    // Overlong, a lone continuation, half a surrogate pair, beyond U+10FFFF, cut off.
    EXPECT_EQ(hl::shown("\xc0\xaf"), "??");
    EXPECT_EQ(hl::shown("\x80z"), "?z");
    EXPECT_EQ(hl::shown("\xed\xa0\x80"), "???");
    EXPECT_EQ(hl::shown("\xf4\x90\x80\x80"), "????");
    EXPECT_EQ(hl::shown("\xe9\xb3"), "??");
}

TEST(Text, ShownCutsBetweenCharacters)
{
    EXPECT_EQ(hl::shown("abcd", 4), "abcd");
    EXPECT_EQ(hl::shown("abcde", 4), "abcd...");
    EXPECT_EQ(hl::shown("abc\xc3\xbc", 4), "abc...");
    EXPECT_EQ(hl::shown("abc\xc3\xbc", 5), "abc\xc3\xbc");
    EXPECT_EQ(hl::shown(std::string(1000, 'x')).size(), 83u);
}

TEST(UniqueFd, ClosesOnceAndMoves)
{
    hl::UniqueFd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int number = first.get();
    ASSERT_TRUE(first);
    hl::UniqueFd second = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_EQ(second.get(), number);
    second.reset();
    EXPECT_EQ(::fcntl(number, F_GETFD), -1);
    EXPECT_EQ(errno, EBADF);
}

TEST(TensorShape, ElementsRefusesUnknownAndOverflow)
{
    EXPECT_EQ((hl::TensorShape{1, 3, 320, 320}.elements()), 307200u);
    EXPECT_EQ((hl::TensorShape{1, -1, 4}.elements()), 0u);
    constexpr int64_t huge = std::numeric_limits<int64_t>::max();
    EXPECT_EQ((hl::TensorShape{huge, huge}.elements()), 0u);
    EXPECT_EQ((hl::TensorShape{1, -1, 4}.text()), "1x?x4");
}

TEST(DType, NamesRoundTrip)
{
    for (const auto type : {hl::DType::UInt8, hl::DType::Float16, hl::DType::Float32, hl::DType::Bool})
        EXPECT_EQ(hl::dtype_from_name(hl::dtype_name(type)), type);
    EXPECT_EQ(hl::dtype_from_name("float31"), std::nullopt);
    EXPECT_EQ(hl::dtype_size(hl::DType::BFloat16), 2u);
}

TEST(CopyCounters, CountsPerKind)
{
    hl::CopyCounters counters;
    counters.add(hl::CopyKind::Upload, 100);
    counters.add(hl::CopyKind::Upload, 50);
    counters.add(hl::CopyKind::ReadBack, 7);
    const auto totals = counters.totals();
    EXPECT_EQ(totals[hl::CopyKind::Upload].count, 2u);
    EXPECT_EQ(totals[hl::CopyKind::Upload].bytes, 150u);
    EXPECT_EQ(totals[hl::CopyKind::CpuCopy].count, 0u);
    EXPECT_EQ(totals[hl::CopyKind::ReadBack].bytes, 7u);
}

TEST(LatencyHistogram, PercentilesAreAtMostASixteenthHigh)
{
    hl::LatencyHistogram histogram;
    for (int64_t v = 1; v <= 100000; ++v)
        histogram.add(v);
    for (const double q : {0.5, 0.95, 0.99}) {
        const double exact = q * 100000;
        const auto got = static_cast<double>(histogram.percentile(q));
        EXPECT_GE(got, exact);
        EXPECT_LE(got, exact * 1.0625 + 1);
    }
    histogram.reset();
    EXPECT_EQ(histogram.percentile(0.5), 0);
    histogram.add(std::numeric_limits<int64_t>::max());
    EXPECT_EQ(histogram.percentile(1.0), std::numeric_limits<int64_t>::max());
}
