// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/holders.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <format>
#include <fstream>

namespace hl::sim {

std::vector<pid_t> socket_holders(ino_t inode)
{
    namespace fs = std::filesystem;
    const std::string wanted = std::format("socket:[{}]", inode);
    std::vector<pid_t> pids;
    std::error_code error;
    for (fs::directory_iterator process("/proc", error), end; !error && process != end; process.increment(error)) {
        const std::string name = process->path().filename().string();
        pid_t pid = 0;
        const auto [stop, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (bad != std::errc{} || stop != name.data() + name.size())
            continue;
        std::error_code denied; // other users' processes cannot be looked into
        for (fs::directory_iterator fd(process->path() / "fd", denied); !denied && fd != end; fd.increment(denied)) {
            std::error_code gone;
            if (fs::read_symlink(fd->path(), gone).string() == wanted) {
                pids.push_back(pid);
                break;
            }
        }
    }
    std::ranges::sort(pids);
    return pids;
}

std::string holders_text(const std::vector<pid_t> &pids)
{
    if (pids.empty())
        return "a process that cannot be seen";
    std::string text;
    for (const pid_t pid : pids) {
        std::ifstream comm(std::format("/proc/{}/comm", pid));
        std::string command;
        std::getline(comm, command);
        text += std::format("{}process {} ({})", text.empty() ? "" : ", ", pid, command.empty() ? "?" : command);
    }
    return text;
}

} // namespace hl::sim
