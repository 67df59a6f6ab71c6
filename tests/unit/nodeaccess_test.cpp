// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device.h"
#include "device/nodeaccess.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dlfcn.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <format>
#include <string>

using hl::NodeAccess;
using hl::NodeUser;
using testing::HasSubstr;
using testing::Not;

namespace {

// While it lives, the machine's databases of users and groups are these: no user is known, every group is "large" and
// has an entry of 100000 bytes. The library and this program have one getpwuid_r(3), which is below.
bool databases_played = false;
int databases_answer = 0; // of the groups
unsigned databases_asked = 0;

class Databases {
public:
    Databases()
    {
        databases_played = true;
        databases_answer = 0;
        databases_asked = 0;
    }
    Databases(const Databases &) = delete;
    Databases &operator=(const Databases &) = delete;
    ~Databases() { databases_played = false; }
};

template <class Function>
Function *real(const char *name)
{
    return reinterpret_cast<Function *>(::dlsym(RTLD_NEXT, name));
}

} // namespace

extern "C" int getpwuid_r(uid_t uid, passwd *entry, char *text, size_t size, passwd **found)
{
    if (!databases_played)
        return real<decltype(getpwuid_r)>("getpwuid_r")(uid, entry, text, size, found);
    ++databases_asked;
    *found = nullptr;
    return 0;
}

extern "C" int getgrgid_r(gid_t gid, group *entry, char *text, size_t size, group **found)
{
    if (!databases_played)
        return real<decltype(getgrgid_r)>("getgrgid_r")(gid, entry, text, size, found);
    ++databases_asked;
    *found = nullptr;
    if (databases_answer != 0)
        return databases_answer;
    if (size < 100000)
        return ERANGE;
    std::strcpy(text, "large");
    entry->gr_name = text;
    entry->gr_gid = gid;
    *found = entry;
    return 0;
}

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
         "SUBSYSTEM==\"accel\", KERNEL==\"accel[0-9]*|accel_controlD[0-9]*\", GROUP=\"render\", MODE=\"0660\""},
        {"a group that may not", accel(0600, render, "render", alice({1000, render})), "it is given to no group",
         "usermod -aG render alice"},
        {"a group that only reads", accel(0640, render, "render", alice({1000, render})), "it is given to no group",
         "udev/rules.d"},
        {"a group that was not looked up", accel(0660, 992, "", alice()), "(group 992, mode 660)",
         "in a container, start it with --group-add=992"},
        {"a user without a name", accel(0660, render, "render", {.uid = 1000, .groups = {1000}}),
         "user 1000 may not open /dev/accel/accel0 (group render, mode 660): user 1000 is not in that group",
         "in a container, start it with --group-add=105"},
        {"a user without a name, and root's", accel(0660, 0, "root", {.uid = 1000, .groups = {1000}}),
         "user 1000 may not", "and start the container with --group-add and the number of render"},
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

// usermod knows a user by name only, and groupadd makes a group that is not there.
TEST(NodeAccess, NobodyIsToldToTypeWhatFails)
{
    const NodeUser nameless{.uid = 1000, .groups = {1000}};
    EXPECT_EQ(accel(0660, render, "render", nameless).remedy(EACCES), "in a container, start it with --group-add=105");
    EXPECT_THAT(accel(0660, 0, "root", nameless).remedy(EACCES), Not(HasSubstr("usermod")));
    NodeAccess unnamed = accel(0660, 992, "", alice());
    EXPECT_EQ(unnamed.remedy(EACCES), "in a container, start it with --group-add=992"); // not known
    unnamed.group_unnamed = true;
    EXPECT_THAT(unnamed.remedy(EACCES), HasSubstr("groupadd -g 992 gaudi; usermod -aG gaudi alice"));
}

TEST(NodeAccess, KnowsUsersAndGroupsAsTheDatabaseDoes)
{
    const hl::test::TemporaryDir root;
    std::filesystem::create_directories(root.path() / "dev");
    root.write("dev/udmabuf", "");
    const Databases databases;
    EXPECT_EQ(NodeAccess::look("/dev/udmabuf", root.path(), alice()).group_name, "large");
    EXPECT_EQ(NodeUser::current().name, "");
    EXPECT_EQ(NodeUser::current().text(), std::format("user {}", ::geteuid()));
    databases_answer = EIO;
    const NodeAccess failed = NodeAccess::look("/dev/udmabuf", root.path(), alice());
    EXPECT_EQ(failed.group_name, "");
    EXPECT_FALSE(failed.group_unnamed);
}

// Whoever only wants to read needs no more.
TEST(NodeAccess, AsksForTheAccessThatIsWanted)
{
    NodeAccess heap = accel(0640, render, "render", alice());
    heap.node = "/dev/dma_heap/system";
    EXPECT_THAT(heap.cause(EACCES), HasSubstr("it is given to no group"));
    heap.wanted = 04;
    EXPECT_THAT(heap.cause(EACCES), HasSubstr("alice is not in that group"));
    EXPECT_THAT(heap.remedy(EACCES), HasSubstr("usermod -aG render alice"));
    heap.user.groups.push_back(render);
    EXPECT_THAT(heap.cause(EACCES), HasSubstr("its permissions allow it"));
}

// The words are for whoever reads them: a device that finds no udmabuf has nobody to tell, and its lock held.
TEST(NodeAccess, ADeviceAsksNoDatabaseOfUsers)
{
    const Databases databases;
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, hl::Placement::Host);
    EXPECT_OK(device->export_dmabuf(*host));
    EXPECT_EQ(databases_asked, 0u);
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
        {"/dev/hl0", "line SUBSYSTEM==\"habanalabs\", KERNEL==\"hl[0-9]*|hl_controlD[0-9]*\", GROUP=\"render\", "
                     "MODE=\"0660\" into"},
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
