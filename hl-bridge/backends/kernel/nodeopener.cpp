// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/nodeopener.h"

#include "backends/kernel/ioctldriver.h"
#include "backends/kernel/openladder.h"
#include "device/holders.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xf86drm.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <format>
#include <thread>

namespace hl::kernel {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto retry_interval = 25ms;

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

OpenState state_of(const ChipNode &chip, int err)
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

bool is_habanalabs(int fd)
{
    const std::unique_ptr<drmVersion, decltype(&drmFreeVersion)> version(drmGetVersion(fd), drmFreeVersion);
    return version && std::string_view(version->name, static_cast<size_t>(version->name_len)) == "habanalabs";
}

} // namespace

Result<std::unique_ptr<Driver>> open_node(const ChipNode &chip)
{
    const auto began = steady_clock::now();
    for (bool reset_seen = false;;) {
        UniqueFd node(::open(chip.compute_node().c_str(), O_RDWR | O_CLOEXEC));
        const int err = errno;
        if (node && !chip.pci.legacy && !is_habanalabs(node.get()))
            return fail(ErrorCode::DeviceUnusable, std::format("open {}", chip.compute_node()),
                        std::format("{} is another driver's than habanalabs", chip.compute_node()),
                        "see ls -l /sys/class/accel/*/device/driver", ENODEV, chip.name());
        if (node)
            return std::make_unique<IoctlDriver>(std::move(node),
                                                 chip.pci.legacy ? uapi::legacy_ioctls : uapi::accel_ioctls);
        OpenState state = state_of(chip, err);
        state.reset_seen = reset_seen = reset_seen || in_reset(state.status);
        const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began);
        if (!try_again(err, state, waited))
            return std::unexpected(open_error(err, state));
        std::this_thread::sleep_for(retry_interval);
    }
}

} // namespace hl::kernel
