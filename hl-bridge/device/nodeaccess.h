// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace hl {

// A user, as the permissions of a file know one.
struct NodeUser {
    uid_t uid = 0;
    std::string name;           // "alice"; empty where the machine knows no name, as in a container
    std::vector<gid_t> groups;  // of this process
    std::vector<gid_t> granted; // of the user's next login, by the group database

    // "alice", or "user 1000".
    [[nodiscard]] std::string text() const;

    [[nodiscard]] static NodeUser current();
};

// A device node that could not be opened, and who wanted to: says why, and what the user can type. The words of every
// error about a missing permission. Reads files' names and modes alone; opens nothing.
struct NodeAccess {
    std::string node; // "/dev/udmabuf"
    bool present = false;
    bool driven = false; // the kernel has a device for the node, whether or not this file system shows it
    uid_t owner = 0;
    gid_t group = 0;
    mode_t mode = 0;
    std::string group_name;     // "render"; empty: not known
    bool group_unnamed = false; // the machine knows no name of the group
    NodeUser user;
    mode_t wanted = 06; // of each class: 04 to read, 06 to read and write

    // `root` is "" for the running machine (whose sysfs is sysfs_root()), or a made-up tree with dev and sys.
    [[nodiscard]] static NodeAccess look(const std::string &node, const std::string &root = {},
                                         NodeUser user = NodeUser::current(), mode_t wanted = 06);

    // One clause for an errno of open(2): EACCES, EPERM, ENOENT. It names node, group, mode and user.
    [[nodiscard]] std::string cause(int err) const;
    // The lines that mend it: usermod, a udev rule, modprobe, or a container's options.
    [[nodiscard]] std::string remedy(int err) const;

private:
    [[nodiscard]] bool in_group() const;
    [[nodiscard]] bool in_group_later() const;
    [[nodiscard]] bool group_may() const;
    [[nodiscard]] bool user_may() const;
    [[nodiscard]] std::string permission_cause() const;
    [[nodiscard]] std::string permission_remedy() const;
    [[nodiscard]] std::string rule_remedy() const;
};

} // namespace hl
