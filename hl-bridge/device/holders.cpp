// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/holders.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <format>
#include <fstream>

namespace hl {

namespace {

namespace fs = std::filesystem;

// Whether one of the process's descriptors, whose link begins with `prefix`, is what `wanted` says TRUE of.
bool holds(const fs::path &process, std::string_view prefix, const std::function<bool(const fs::path &)> &wanted)
{
    std::error_code denied; // other users' processes cannot be looked into
    for (fs::directory_iterator fd(process / "fd", denied), end; !denied && fd != end; fd.increment(denied)) {
        std::error_code gone;
        if (fs::read_symlink(fd->path(), gone).string().starts_with(prefix) && wanted(fd->path()))
            return true;
    }
    return false;
}

std::vector<pid_t> find_processes(const std::function<bool(const fs::path &)> &wanted)
{
    std::vector<pid_t> pids;
    std::error_code error;
    for (fs::directory_iterator process("/proc", error), end; !error && process != end; process.increment(error)) {
        const std::string name = process->path().filename().string();
        pid_t pid = 0;
        const auto [stop, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (bad == std::errc{} && stop == name.data() + name.size() && wanted(process->path()))
            pids.push_back(pid);
    }
    std::ranges::sort(pids);
    return pids;
}

bool exported_by(const fs::path &fdinfo, std::string_view exporter)
{
    std::ifstream info(fdinfo);
    for (std::string word; info >> word;)
        if (word == "exp_name:" && info >> word)
            return word == exporter;
    return false;
}

} // namespace

std::vector<pid_t> find_holders(std::string_view prefix, const std::function<bool(const struct stat &)> &wanted)
{
    return find_processes([&](const fs::path &process) {
        return holds(process, prefix, [&wanted](const fs::path &fd) {
            struct stat st{};
            return ::stat(fd.c_str(), &st) == 0 && wanted(st);
        });
    });
}

std::vector<pid_t> find_dmabuf_holders(std::string_view exporter)
{
    return find_processes([&](const fs::path &process) {
        return holds(process, "/dmabuf:", [&](const fs::path &fd) {
            return exported_by(process / "fdinfo" / fd.filename(), exporter);
        });
    });
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

} // namespace hl
