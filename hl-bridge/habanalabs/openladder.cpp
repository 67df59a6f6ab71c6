// SPDX-License-Identifier: LGPL-2.1-or-later
#include "habanalabs/openladder.h"

#include "device/holders.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <format>
#include <string_view>
#include <vector>

namespace hl::habanalabs {
namespace {

using namespace std::chrono_literals;

constexpr const char *sim_remedy = "device=sim runs on the simulator meanwhile";

// The first letter's case changed with the driver's age (sysfs.c status_show).
bool status_begins(const std::string &status, std::string_view lower_case)
{
    return status.size() >= lower_case.size() &&
           std::ranges::equal(lower_case, std::string_view(status).substr(0, lower_case.size()),
                              [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
}

// Who has the node open, or a dma-buf of the driver, which keeps its device open like the node does (memory.c
// hl_dmabuf_export). Which of several devices such a dma-buf is of, nobody says.
std::vector<pid_t> find_owners(const std::string &node)
{
    struct stat wanted{};
    if (::stat(node.c_str(), &wanted) < 0)
        return {};
    auto owners = find_holders(
        "/dev/", [&wanted](const struct stat &st) { return S_ISCHR(st.st_mode) && st.st_rdev == wanted.st_rdev; });
    return owners.empty() ? find_dmabuf_holders("habanalabs") : owners;
}

Error busy(const OpenState &state)
{
    return {.code = ErrorCode::DeviceBusy,
            .cause = std::format("{} is owned by {}", state.device,
                                 state.holders.empty() ? "a process that cannot be seen" : state.holders),
            .remedy = "end that process, close its exported frames too, or use another device"};
}

Error still_held(const OpenState &state)
{
    return {.code = ErrorCode::DeviceBusy,
            .cause = std::format("{} waits in its reset (\"{}\") for {}, which still holds memory of it", state.device,
                                 state.status, state.holders),
            .remedy = "end that process, or let it close its frames"};
}

Error not_permitted(int err, const OpenState &state)
{
    return {.code = ErrorCode::DevicePermission, .cause = state.access.cause(err), .remedy = state.access.remedy(err)};
}

Error not_operational(const OpenState &state)
{
    return {.code = ErrorCode::DeviceUnusable,
            .cause = std::format("{} is not operational: its driver says \"{}\"", state.device, state.status),
            .remedy = std::format("see the kernel log (dmesg | grep habanalabs); {}", sim_remedy)};
}

// Since Linux 6.12 drm_open_helper (drivers/gpu/drm/drm_file.c) answers EINVAL to file operations without
// FOP_UNSIGNED_OFFSET, and those of habanalabs (habanalabs_drv.c hl_fops) have not got it.
Error open_defect(const OpenState &state)
{
    return {.code = ErrorCode::DeviceUnusable,
            .cause = std::format("the kernel refuses to open {}: its habanalabs driver lacks FOP_UNSIGNED_OFFSET, "
                                 "without which Linux 6.12 and later open no DRM node",
                                 state.node),
            .remedy = std::format("install Intel's own driver (habanalabs-dkms), or a kernel with the one-line patch "
                                  "of docs/kernel-driver.md; {}",
                                  sim_remedy)};
}

} // namespace

OpenState OpenState::look(const ChipNode &chip, int err)
{
    OpenState state{.device = chip.name(), .node = chip.compute_node(), .status = chip.status};
    if (const auto now = find_chip(sysfs_root(), chip.pci.address))
        state.status = now->status;
    if (err == EBUSY || err == EAGAIN)
        if (const auto owners = find_owners(state.node); !owners.empty()) {
            state.holders = holders_text(owners);
            state.held_by_us = std::ranges::find(owners, ::getpid()) != owners.end();
        }
    if (err == EACCES || err == EPERM || err == ENOENT)
        state.access = NodeAccess::look(state.node);
    state.access.driven = true; // its driver made it
    return state;
}

bool in_reset(const std::string &status) noexcept
{
    return status_begins(status, "in reset");
}

bool operational(const std::string &status) noexcept
{
    return status.empty() || status_begins(status, "operational");
}

bool try_again(int err, const OpenState &state, std::chrono::milliseconds waited) noexcept
{
    switch (err) {
    case EINTR:
        return true;
    case EAGAIN:
        // A reset does not end before the memory's last holder lets go (device.c device_kill_open_processes).
        if (!state.holders.empty() && !state.held_by_us)
            return waited < 5s;
        // After a reset the device is operational a moment before its last user is gone (device.c hpriv_release).
        return waited < (state.reset_seen ? 20s : 2s);
    case EBUSY:
        // A process that was just killed is still seen for a moment; what is not seen may be its release.
        // What this process holds may be an earlier device object on its way out.
        return waited < (state.holders.empty() || state.held_by_us ? 2000ms : 300ms);
    default:
        return false;
    }
}

Error open_error(int err, const OpenState &state)
{
    const auto finish = [&](Error error) {
        error.operation = std::format("open {}", state.node);
        error.sys_errno = err;
        error.device = state.device;
        return error;
    };
    const auto unusable = [&](std::string cause, std::string remedy) {
        return finish({.code = ErrorCode::DeviceUnusable, .cause = std::move(cause), .remedy = std::move(remedy)});
    };
    switch (err) {
    case EBUSY:
        return finish(busy(state));
    case EAGAIN:
        if (!state.holders.empty())
            return finish(still_held(state));
        return unusable(std::format("{} does not come out of its reset{}", state.device,
                                    state.status.empty() ? "" : std::format(" (\"{}\")", state.status)),
                        "see the kernel log (dmesg | grep habanalabs), and try again in a minute");
    case EPERM: // of the driver: not operational; of a container's device rules otherwise
        return finish(operational(state.status) ? not_permitted(err, state) : not_operational(state));
    case EACCES:
        return finish(not_permitted(err, state));
    case EINVAL:
        return finish(open_defect(state));
    case ENOENT:
        return unusable(std::format("{}: {}", state.device, state.access.cause(err)),
                        std::format("{}; {}", state.access.remedy(err), sim_remedy));
    case ENODEV:
    case ENXIO:
        return finish({.code = ErrorCode::DeviceNotFound,
                       .cause = std::format("{} is gone: no driver answers at {}", state.device, state.node),
                       .remedy = "see the kernel log; the device was removed, or its driver unloaded"});
    case EMFILE:
    case ENFILE:
        return finish({.code = ErrorCode::FdLimit,
                       .cause = "no descriptor is left to open the device with",
                       .remedy = "raise the limit of open files (ulimit -n)"});
    default:
        return unusable(std::format("{} could not be opened", state.device),
                        std::format("see the errno and the kernel log; {}", sim_remedy));
    }
}

} // namespace hl::habanalabs
