// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

class Labels : public testing::Test {
protected:
    void SetUp() override
    {
        std::string name = std::filesystem::temp_directory_path() / "hl-labels-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path() const { return folder_ / "labels.txt"; }
    hl::Result<std::vector<std::string>> read(std::string_view text)
    {
        std::ofstream(path(), std::ios::binary) << text;
        return hl::read_labels(path());
    }

    std::filesystem::path folder_;
};

void expect_refused(const hl::Result<std::vector<std::string>> &labels, const char *why)
{
    ASSERT_FALSE(labels) << why;
    EXPECT_EQ(labels.error().code, hl::ErrorCode::LabelsInvalid);
    EXPECT_THAT(labels.error().cause, AllOf(HasSubstr(why), HasSubstr("labels.txt")));
    EXPECT_FALSE(labels.error().remedy.empty());
}

} // namespace

TEST_F(Labels, OnePerLineTrimmed)
{
    EXPECT_THAT(*read("circle\n  red square\t\r\ntriangle"), ElementsAre("circle", "red square", "triangle"));
    EXPECT_THAT(*read("\xef\xbb\xbf"
                      "K\xc3\xa4se\n"),
                ElementsAre("K\xc3\xa4se"));
}

TEST_F(Labels, AnEmptyLineKeepsItsPlaceButNotAtTheEnd)
{
    EXPECT_THAT(*read("a\n\nc\n\n \n"), ElementsAre("a", "", "c"));
}

TEST_F(Labels, RefusesWhatIsNoLabelFile)
{
    expect_refused(hl::read_labels(path()), "cannot open");
    EXPECT_EQ(hl::read_labels(path()).error().sys_errno, ENOENT);
    expect_refused(read(""), "has no labels");
    expect_refused(read(" \n\n"), "has no labels");
    expect_refused(read("a\n\xff\xfe"), "not UTF-8");
    expect_refused(read(std::string_view("a\0b", 3)), "not UTF-8");
    expect_refused(read(std::string(70000, '\n') + "x"), "more than 65536 lines");
    expect_refused(read(std::string((4u << 20) + 1, 'x')), "has at most");
    std::filesystem::remove(path());
    std::filesystem::create_directory(path());
    expect_refused(hl::read_labels(path()), "is a directory");
}

TEST_F(Labels, AFifoWithoutAWriterDoesNotHang)
{
    ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
    expect_refused(hl::read_labels(path()), "is a special file");
}
