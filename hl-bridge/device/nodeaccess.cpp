// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/nodeaccess.h"

#include "device/devicespec.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <format>
#include <string_view>
#include <utility>

namespace hl {
namespace {

// What is known of nodes by their path: where sysfs shows the device, the module that makes it, and the rule that gives
// it to a group, as udev's own rules have them (rules.d/50-udev-default.rules: video for cameras and cards, render for
// render and accel nodes).
struct NodeKind {
    std::string_view prefix; // of the path
    std::string_view shown;  // directory of sysfs that has the node's name
    std::string_view module; // empty: depends on the device
    std::string_view match;  // of a udev rule
    std::string_view group;
};

constexpr std::array kinds{
    NodeKind{"/dev/udmabuf", "class/misc", "udmabuf", R"(KERNEL=="udmabuf")", "video"},
    NodeKind{"/dev/accel/", "class/accel", "habanalabs",
             R"(SUBSYSTEM=="accel", KERNEL=="accel[0-9]*|accel_controlD[0-9]*")", "render"},
    NodeKind{"/dev/hl", "class/habanalabs", "habanalabs",
             R"(SUBSYSTEM=="habanalabs", KERNEL=="hl[0-9]*|hl_controlD[0-9]*")", "render"},
    NodeKind{"/dev/video", "class/video4linux", "", R"(SUBSYSTEM=="video4linux")", "video"},
    NodeKind{"/dev/dri/renderD", "class/drm", "", R"(SUBSYSTEM=="drm", KERNEL=="renderD*")", "render"},
    NodeKind{"/dev/dri/card", "class/drm", "", R"(SUBSYSTEM=="drm", KERNEL=="card*")", "video"},
    NodeKind{"/dev/dma_heap/", "class/dma_heap", "", R"(SUBSYSTEM=="dma_heap")", "video"},
};

constexpr size_t most_entry_bytes = size_t{1} << 20;

const NodeKind *kind_of(std::string_view node)
{
    const auto at = std::ranges::find_if(kinds, [node](const NodeKind &kind) { return node.starts_with(kind.prefix); });
    return at == kinds.end() ? nullptr : &*at;
}

// Asks one of getpwuid_r(3) and its like, whose text must find room: an entry of a large group has many thousand bytes.
// 0 or the errno; `found` is null where the database has no such entry.
template <class Id, class Entry>
int look_up(int (*ask)(Id, Entry *, char *, size_t, Entry **), Id id, Entry &entry, std::vector<char> &text,
            Entry *&found)
{
    for (text.resize(4096);; text.resize(2 * text.size())) {
        const int err = ask(id, &entry, text.data(), text.size(), &found);
        if (err != ERANGE || text.size() >= most_entry_bytes)
            return err;
    }
}

// The groups that the database gives a user. getgrouplist(3) says how many there are where the room does not do.
std::vector<gid_t> groups_of(const passwd &user)
{
    std::vector<gid_t> groups(64);
    auto count = static_cast<int>(groups.size());
    if (::getgrouplist(user.pw_name, user.pw_gid, groups.data(), &count) < 0) {
        groups.resize(static_cast<size_t>(count));
        if (::getgrouplist(user.pw_name, user.pw_gid, groups.data(), &count) < 0)
            return {};
    }
    groups.resize(static_cast<size_t>(count));
    return groups;
}

std::vector<gid_t> own_groups()
{
    const int count = ::getgroups(0, nullptr);
    std::vector<gid_t> groups(count > 0 ? static_cast<size_t>(count) : 0);
    if (::getgroups(static_cast<int>(groups.size()), groups.data()) < 0)
        groups.clear();
    groups.push_back(::getegid());
    return groups;
}

std::string container_remedy(const std::string &node)
{
    return std::format("in a container, start it with --device={}", node);
}

} // namespace

std::string NodeUser::text() const
{
    return name.empty() ? std::format("user {}", uid) : name;
}

NodeUser NodeUser::current()
{
    NodeUser user{.uid = ::geteuid(), .groups = own_groups()};
    passwd entry{};
    passwd *found = nullptr;
    std::vector<char> text;
    if (look_up(::getpwuid_r, user.uid, entry, text, found) == 0 && found) {
        user.name = found->pw_name;
        user.granted = groups_of(*found);
    }
    return user;
}

NodeAccess NodeAccess::look(const std::string &node, const std::string &root, NodeUser user, mode_t wanted)
{
    NodeAccess out{.node = node, .user = std::move(user), .wanted = wanted};
    struct stat state{};
    if (::stat((root + node).c_str(), &state) == 0) {
        out.present = true;
        out.owner = state.st_uid;
        out.group = state.st_gid;
        out.mode = state.st_mode & 0777u;
        ::group entry{};
        ::group *found = nullptr;
        std::vector<char> text;
        const int err = look_up(::getgrgid_r, state.st_gid, entry, text, found);
        out.group_unnamed = err == 0 && !found;
        if (err == 0 && found)
            out.group_name = found->gr_name;
    }
    if (const NodeKind *kind = kind_of(node)) {
        const std::filesystem::path sysfs = root.empty() ? sysfs_root() : root + "/sys";
        std::error_code error;
        out.driven = std::filesystem::exists(sysfs / kind->shown / node.substr(node.rfind('/') + 1), error);
    }
    return out;
}

bool NodeAccess::in_group() const
{
    return std::ranges::contains(user.groups, group);
}

bool NodeAccess::in_group_later() const
{
    return std::ranges::contains(user.granted, group);
}

// Of a group that somebody can be added to: root's would give the whole machine away.
bool NodeAccess::group_may() const
{
    return group != 0 && (mode >> 3 & wanted) == wanted;
}

// The first class that fits decides (fs/namei.c acl_permission_check); root passes (generic_permission).
bool NodeAccess::user_may() const
{
    if (user.uid == 0)
        return true;
    const mode_t shift = user.uid == owner ? 6 : in_group() ? 3 : 0;
    return (mode >> shift & wanted) == wanted;
}

std::string NodeAccess::permission_cause() const
{
    const std::string owned = std::format("{} may not open {} (group {}, mode {:o})", user.text(), node,
                                          group_name.empty() ? std::to_string(group) : group_name, mode);
    if (user_may())
        return owned + ": its permissions allow it, but a container's device rules or a security module do not";
    if (!group_may())
        return owned + ": it is given to no group";
    if (in_group_later())
        return std::format("{}: {} is in that group, but was not when this session began", owned, user.text());
    return std::format("{}: {} is not in that group", owned, user.text());
}

std::string NodeAccess::rule_remedy() const
{
    const NodeKind *kind = kind_of(node);
    if (!kind)
        return std::format("see who may open it: ls -l {}", node);
    return std::format("give the node to a group, as root: put the line {}, GROUP=\"{}\", MODE=\"0660\" into "
                       "/etc/udev/rules.d/70-gst-habana.rules; udevadm control --reload; udevadm trigger; {}",
                       kind->match, kind->group,
                       user.name.empty()
                           ? std::format("and start the container with --group-add and the number of {}", kind->group)
                           : std::format("usermod -aG {} {}; and log in again", kind->group, user.name));
}

std::string NodeAccess::permission_remedy() const
{
    if (user_may())
        return container_remedy(node);
    if (!group_may())
        return rule_remedy();
    if (in_group_later())
        return std::format("log in again, or try newgrp {}", group_name);
    const std::string container = std::format("in a container, start it with --group-add={}", group);
    if (user.name.empty() || (group_name.empty() && !group_unnamed)) // usermod and groupadd would refuse
        return container;
    if (group_unnamed)
        return std::format("{}; else as root: groupadd -g {} gaudi; usermod -aG gaudi {}; and log in again", container,
                           group, user.name);
    return std::format("sudo usermod -aG {} {}, and log in again; {}", group_name, user.name, container);
}

std::string NodeAccess::cause(int err) const
{
    if (err == ENOENT)
        return driven ? std::format("the kernel has a device for {}, but there is no such file here", node)
                      : std::format("there is no {}", node);
    return present ? permission_cause() : std::format("{} may not open {}", user.text(), node);
}

std::string NodeAccess::remedy(int err) const
{
    if (err != ENOENT)
        return present ? permission_remedy() : std::format("see who may open it: ls -l {}", node);
    if (driven)
        return container_remedy(node) + "; else see that udev runs";
    const NodeKind *kind = kind_of(node);
    if (!kind || kind->module.empty())
        return "see that the device is plugged in and its driver loaded";
    return std::format(
        "load the module, as root: modprobe {0} (at each start: echo {0} > /etc/modules-load.d/{0}.conf)",
        kind->module);
}

} // namespace hl
