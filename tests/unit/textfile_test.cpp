// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/textfile.h"
#include "fulldisk.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <format>
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

mode_t mode_of(const std::string &path)
{
    struct stat st{};
    EXPECT_EQ(::stat(path.c_str(), &st), 0);
    return st.st_mode & 0777u;
}

// Root may write everywhere; nobody may not.
class AsNobody {
public:
    AsNobody() : root_(::geteuid() == 0)
    {
        if (root_) {
            EXPECT_EQ(::seteuid(65534), 0);
        }
    }
    AsNobody(const AsNobody &) = delete;
    AsNobody &operator=(const AsNobody &) = delete;
    ~AsNobody()
    {
        if (root_) {
            EXPECT_EQ(::seteuid(0), 0);
        }
    }

private:
    bool root_;
};

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

TEST(TextFile, AReplacedFileKeepsItsPermissions)
{
    const TemporaryDir dir;
    const mode_t mask = ::umask(022);
    for (const mode_t mode : {0600u, 0666u, 0640u}) {
        dir.write("a", "old");
        ASSERT_EQ(::chmod((dir / "a").c_str(), mode), 0);
        EXPECT_OK(write_text_file(dir / "a", "new"));
        EXPECT_EQ(mode_of(dir / "a"), mode);
        EXPECT_EQ(content(dir / "a"), "new");
    }
    ::umask(mask);
}

// The name of the new file, until it takes the old one's place, can be guessed.
TEST(TextFile, WhatSomebodyPutInItsWayIsNotWrittenTo)
{
    const TemporaryDir dir;
    const std::string aside = std::format("{}.{}-{}", dir / "a", ::getpid(), ::gettid());
    dir.write("victim", "precious");
    std::filesystem::create_hard_link(dir / "victim", aside);
    EXPECT_OK(write_text_file(dir / "a", "text"));
    EXPECT_EQ(content(dir / "victim"), "precious");
    EXPECT_EQ(content(dir / "a"), "text");
    EXPECT_EQ(files_in(dir), 2u);

    std::filesystem::create_directory(aside);
    const auto refused = write_text_file(dir / "a", "more");
    ASSERT_CODE(refused, ErrorCode::FileWrite);
    EXPECT_EQ(refused.error().sys_errno, EEXIST);
    EXPECT_EQ(content(dir / "a"), "text");
    EXPECT_TRUE(std::filesystem::is_directory(aside));
}

TEST(TextFile, WhatCannotBeReplacedIsWrittenToAsItIs)
{
    const TemporaryDir dir;
    dir.write("a", "a long old text");
    ASSERT_EQ(::chmod((dir / "a").c_str(), 0666), 0);
    ASSERT_EQ(::chmod(dir.path().c_str(), 0555), 0);
    {
        const AsNobody nobody;
        EXPECT_OK(write_text_file(dir / "a", "new"));
        const auto refused = write_text_file(dir / "b", "new");
        ASSERT_CODE(refused, ErrorCode::FileWrite);
        EXPECT_EQ(refused.error().sys_errno, EACCES);
    }
    ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
    EXPECT_EQ(content(dir / "a"), "new");
    EXPECT_EQ(files_in(dir), 1u);
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
