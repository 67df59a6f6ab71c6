// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/classfilter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<std::string> labels{"person", "traffic light", "car", "2", "car"};

std::vector<uint8_t> wanted(std::string_view list, uint32_t classes = 5)
{
    const auto out = hl::parse_classes(list, labels, classes);
    EXPECT_TRUE(out) << list;
    return out ? *out : std::vector<uint8_t>{};
}

std::string refused(std::string_view list, std::span<const std::string> names, uint32_t classes)
{
    const auto out = hl::parse_classes(list, names, classes);
    EXPECT_FALSE(out) << list;
    if (out)
        return {};
    EXPECT_EQ(out.error().code, hl::ErrorCode::ClassUnknown);
    return out.error().cause;
}

} // namespace

TEST(ClassFilter, AnEmptyListWantsAll)
{
    EXPECT_THAT(wanted(""), IsEmpty());
    EXPECT_THAT(wanted("  "), IsEmpty());
}

TEST(ClassFilter, TakesLabelsAndIndices)
{
    EXPECT_THAT(wanted("person"), ElementsAre(1));
    EXPECT_THAT(wanted(" traffic light ,person"), ElementsAre(1, 1));
    EXPECT_THAT(wanted("1,0"), ElementsAre(1, 1));
    EXPECT_THAT(wanted("car"), ElementsAre(0, 0, 1, 0, 1)); // both of that name
    EXPECT_THAT(wanted("2"), ElementsAre(0, 0, 0, 1));      // a label goes before an index
    EXPECT_THAT(wanted("4"), ElementsAre(0, 0, 0, 0, 1));
}

TEST(ClassFilter, NamesWhatItDoesNotKnow)
{
    EXPECT_THAT(
        refused("person,bus", labels, 5),
        AllOf(HasSubstr("\"bus\" is no class"), HasSubstr("\"person\", \"traffic light\""), HasSubstr("from 0 to 4")));
    EXPECT_THAT(refused("5", labels, 5), HasSubstr("\"5\""));
    EXPECT_THAT(refused("person,", labels, 5), HasSubstr("\"\" is no class"));
    EXPECT_THAT(refused("-1", labels, 5), HasSubstr("\"-1\""));
    EXPECT_THAT(refused("person", {}, 3), HasSubstr("labels are not known"));
    const std::vector<std::string> many(12, "x");
    EXPECT_THAT(refused("y", many, 12), HasSubstr("and 2 more"));
}

TEST(ClassFilter, WhereTheNumberOfClassesIsUnknownAnyIndexGoes)
{
    const auto far = hl::parse_classes("300", {}, 0);
    ASSERT_TRUE(far);
    EXPECT_EQ(far->size(), 301u);
    EXPECT_THAT(refused("65536", {}, 0), HasSubstr("\"65536\""));
}
