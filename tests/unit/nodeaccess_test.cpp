// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/nodeaccess.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <format>
#include <string>

using hl::NodeAccess;
using hl::NodeUser;
using testing::HasSubstr;
using testing::Not;

namespace {

constexpr gid_t render = 105;

NodeUser alice(std::vector<gid_t> groups = {1000}, std::vector<gid_t> granted = {1000})
{
    return {.uid = 1000, .name = "alice", .groups = std::move(groups), .granted = std::move(granted)};
}

NodeAccess accel(mode_t mode, gid_t group, std::string name, NodeUser user)
{
    return {.node = "/dev/accel/accel0",
            .present = true,
            .driven = true,
            .group = group,
            .mode = mode,
            .group_name = std::move(name),
            .user = std::move(user)};
}

} // namespace

TEST(NodeAccess, TellsGroupModeAndUserAndWhatToType)
{
    const struct {
        const char *what;
        NodeAccess access;
        const char *cause;
        const char *remedy;
    } rows[] = {
        {"not a member", accel(0660, render, "render", alice()),
         "alice may not open /dev/accel/accel0 (group render, mode 660): alice is not in that group",
         "sudo usermod -aG render alice, and log in again; in a container, start it with --group-add=105"},
        {"a member since", accel(0660, render, "render", alice({1000}, {1000, render})),
         "alice is in that group, but was not when this session began", "log in again, or try newgrp render"},
        {"root's", accel(0660, 0, "root", alice()), "(group root, mode 660): it is given to no group",
         "SUBSYSTEM==\"accel\", KERNEL==\"accel[0-9]*\", GROUP=\"render\", MODE=\"0660\""},
        {"a group that may not", accel(0600, render, "render", alice({1000, render})), "it is given to no group",
         "usermod -aG render alice"},
        {"a group that only reads", accel(0640, render, "render", alice({1000, render})), "it is given to no group",
         "udev/rules.d"},
        {"a group without a name", accel(0660, 992, "", alice()), "(group 992, mode 660)", "--group-add=992"},
        {"a container's rule", accel(0660, render, "render", alice({1000, render})),
         "its permissions allow it, but a container's device rules", "--device=/dev/accel/accel0"},
        {"a container's root", accel(0600, 0, "root", {.uid = 0, .name = "root", .groups = {0}}),
         "root may not open /dev/accel/accel0 (group root, mode 600): its permissions allow it",
         "--device=/dev/accel/accel0"},
        {"open to all", accel(0666, 0, "root", alice()), "its permissions allow it", "--device=/dev/accel/accel0"},
    };
    for (const auto &row : rows)
        for (const int err : {EACCES, EPERM}) {
            EXPECT_THAT(row.access.cause(err), HasSubstr(row.cause)) << row.what;
            EXPECT_THAT(row.access.remedy(err), HasSubstr(row.remedy)) << row.what;
        }
}

// The class that fits decides, whatever the next would allow.
TEST(NodeAccess, TheOwnersBitsComeFirst)
{
    NodeAccess access = accel(0066, render, "render", alice({1000, render}));
    EXPECT_THAT(access.cause(EACCES), HasSubstr("its permissions allow it"));
    access.owner = 1000;
    EXPECT_THAT(access.cause(EACCES), Not(HasSubstr("its permissions allow it")));
    access.owner = 0;
    access.mode = 0606; // the group's members are kept out
    EXPECT_THAT(access.cause(EACCES), Not(HasSubstr("its permissions allow it")));
}

TEST(NodeAccess, EachKindOfNodeHasItsRule)
{
    const struct {
        const char *node;
        const char *rule;
    } rows[] = {
        {"/dev/udmabuf", "line KERNEL==\"udmabuf\", GROUP=\"video\", MODE=\"0660\" into"},
        {"/dev/hl0", "line SUBSYSTEM==\"habanalabs\", KERNEL==\"hl[0-9]*\", GROUP=\"render\", MODE=\"0660\" into"},
        {"/dev/video0", "line SUBSYSTEM==\"video4linux\", GROUP=\"video\", MODE=\"0660\" into"},
        {"/dev/dri/card0", "line SUBSYSTEM==\"drm\", KERNEL==\"card*\", GROUP=\"video\", MODE=\"0660\" into"},
        {"/dev/dri/renderD128", "line SUBSYSTEM==\"drm\", KERNEL==\"renderD*\", GROUP=\"render\", MODE=\"0660\" into"},
        {"/dev/dma_heap/system", "line SUBSYSTEM==\"dma_heap\", GROUP=\"video\", MODE=\"0660\" into"},
    };
    for (const auto &row : rows) {
        NodeAccess access = accel(0600, 0, "root", alice());
        access.node = row.node;
        EXPECT_THAT(access.remedy(EACCES), HasSubstr(row.rule));
    }
    NodeAccess other = accel(0600, 0, "root", alice());
    other.node = "/dev/other";
    EXPECT_EQ(other.remedy(EACCES), "see who may open it: ls -l /dev/other");
}

// A tree whose /dev has a node (a file, for which the same bits stand), and whose /sys has its device, or not.
TEST(NodeAccess, LooksAtTheNodeAndAtTheKernelsDevice)
{
    const hl::test::TemporaryDir root;
    NodeAccess access = NodeAccess::look("/dev/udmabuf", root.path(), alice());
    EXPECT_FALSE(access.present);
    EXPECT_EQ(access.cause(ENOENT), "there is no /dev/udmabuf");
    EXPECT_THAT(access.remedy(ENOENT), HasSubstr("modprobe udmabuf"));

    std::filesystem::create_directories(root.path() / "sys/class/misc/udmabuf");
    access = NodeAccess::look("/dev/udmabuf", root.path(), alice());
    EXPECT_THAT(access.cause(ENOENT), HasSubstr("the kernel has a device for /dev/udmabuf, but there is no such file"));
    EXPECT_THAT(access.remedy(ENOENT), HasSubstr("--device=/dev/udmabuf"));

    std::filesystem::create_directories(root.path() / "dev");
    root.write("dev/udmabuf", "");
    ASSERT_EQ(::chmod((root / "dev/udmabuf").c_str(), 0640), 0);
    access = NodeAccess::look("/dev/udmabuf", root.path(), alice());
    EXPECT_TRUE(access.present);
    EXPECT_EQ(access.mode, 0640u);
    EXPECT_EQ(access.owner, ::geteuid());
    EXPECT_THAT(access.cause(EACCES), HasSubstr("alice may not open /dev/udmabuf (group "));
}

TEST(NodeAccess, MissingNodesOfDriversThatDependOnTheDevice)
{
    const hl::test::TemporaryDir root;
    EXPECT_THAT(NodeAccess::look("/dev/video9", root.path()).remedy(ENOENT), HasSubstr("plugged in"));
    EXPECT_THAT(NodeAccess::look("/dev/accel/accel0", root.path()).remedy(ENOENT), HasSubstr("modprobe habanalabs"));
}

// A directory above it may not be looked into: nothing is known of the node.
TEST(NodeAccess, SaysNoMoreThanItSees)
{
    const NodeAccess hidden{.node = "/dev/dri/card0", .user = alice()};
    EXPECT_EQ(hidden.cause(EACCES), "alice may not open /dev/dri/card0");
    EXPECT_THAT(hidden.remedy(EACCES), HasSubstr("ls -l /dev/dri/card0"));
}

TEST(NodeUser, IsTheOneOfThisProcess)
{
    const NodeUser user = NodeUser::current();
    EXPECT_EQ(user.uid, ::geteuid());
    EXPECT_FALSE(user.name.empty());
    EXPECT_THAT(user.groups, testing::Contains(::getegid()));
}
