// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/textfile.h"
#include "fulldisk.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

using namespace hl;
using hl::test::FullDisk;
using hl::test::TemporaryDir;
using testing::HasSubstr;

namespace {

std::string content(const std::string &path)
{
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

size_t files_in(const TemporaryDir &dir)
{
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(dir.path()), {}));
}

} // namespace

TEST(TextFile, IsWrittenWholeAndReplaced)
{
    const TemporaryDir dir;
    EXPECT_OK(write_text_file(dir / "a", "first"));
    EXPECT_OK(write_text_file(dir / "a", "second"));
    EXPECT_EQ(content(dir / "a"), "second");
    EXPECT_OK(append_text_file(dir / "a", " and third"));
    EXPECT_EQ(content(dir / "a"), "second and third");
    EXPECT_EQ(files_in(dir), 1u);
    const mode_t mask = ::umask(022);
    EXPECT_OK(write_text_file(dir / "b", "x"));
    ::umask(mask);
    struct stat st{};
    ASSERT_EQ(::stat((dir / "b").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0644u);
}

TEST(TextFile, AFullDiskKeepsTheOldFileAndLeavesNothing)
{
    const TemporaryDir dir;
    ASSERT_OK(write_text_file(dir / "a", "old"));
    const std::string large(100000, 'x');
    {
        const FullDisk full(4096);
        const auto refused = write_text_file(dir / "a", large);
        ASSERT_CODE(refused, ErrorCode::FileWrite);
        EXPECT_EQ(refused.error().sys_errno, EFBIG);
        EXPECT_THAT(refused.error().cause, HasSubstr(dir / "a"));
        EXPECT_CODE(append_text_file(dir / "a", large), ErrorCode::FileWrite);
    }
    EXPECT_EQ(content(dir / "a").substr(0, 3), "old");
    EXPECT_EQ(files_in(dir), 1u);
    EXPECT_OK(write_text_file(dir / "a", large));
    EXPECT_EQ(content(dir / "a"), large);
}

TEST(TextFile, WhatIsNoRegularFileIsWrittenToAsItIs)
{
    const TemporaryDir dir;
    const auto full = write_text_file("/dev/full", "x");
    ASSERT_CODE(full, ErrorCode::FileWrite);
    EXPECT_EQ(full.error().sys_errno, ENOSPC);
    EXPECT_OK(write_text_file("/dev/null", "x"));
    EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
    dir.write("target", "old");
    std::filesystem::create_symlink("target", dir / "link");
    EXPECT_OK(write_text_file(dir / "link", "new"));
    EXPECT_TRUE(std::filesystem::is_symlink(dir / "link"));
    EXPECT_EQ(content(dir / "target"), "new");
}

TEST(TextFile, WhatCannotBeMadeIsNamed)
{
    const TemporaryDir dir;
    dir.write("file", "x");
    for (const std::string &path : {dir / "absent/file", dir / "file/below", dir.path().string(), std::string()}) {
        EXPECT_CODE(write_text_file(path, "x"), ErrorCode::FileWrite) << path;
        const auto refused = append_text_file(path, "x");
        ASSERT_CODE(refused, ErrorCode::FileWrite) << path;
        EXPECT_NE(refused.error().sys_errno, 0);
        EXPECT_FALSE(refused.error().remedy.empty());
    }
}
