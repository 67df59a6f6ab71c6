// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/nodeopener.h"

#include "backends/kernel/ioctldriver.h"
#include "habanalabs/openladder.h"

#include <fcntl.h>
#include <xf86drm.h>

#include <cerrno>
#include <chrono>
#include <format>
#include <thread>

namespace hl::kernel {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto retry_interval = 25ms;

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
        OpenState state = OpenState::look(chip, err);
        state.reset_seen = reset_seen = reset_seen || in_reset(state.status);
        const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began);
        if (!try_again(err, state, waited))
            return std::unexpected(open_error(err, state));
        std::this_thread::sleep_for(retry_interval);
    }
}

} // namespace hl::kernel
