// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/session.h"

#include "core/log.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <format>
#include <utility>

namespace hl::kernel {

Result<std::shared_ptr<Session>> Session::open(const DriverOpener &opener, ChipKind chip, const std::string &device)
{
    auto driver = opener();
    if (!driver)
        return std::unexpected(std::move(driver.error()));
    const auto hw = (*driver)->hw_info();
    if (!hw || !hw->dram_enabled || hw->dram_size == 0)
        return fail(ErrorCode::DeviceUnusable, "open device",
                    hw ? std::format("{} says that it has no memory", device)
                       : std::format("{} does not say what it is", device),
                    "see the kernel log (dmesg | grep habanalabs)", hw ? ENODEV : hw.error(), device);
    // Without an eventfd a reset kills the process at once instead of in 30 s (device.c hl_device_cond_reset).
    UniqueFd events(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!events)
        return fail(ErrorCode::FdLimit, "open device", "no descriptor is left for the device's events",
                    "raise the limit of open files (ulimit -n)", errno, device);
    if (const auto registered = (*driver)->register_events(events.get()); !registered) {
        log(LogLevel::Warning, "kernel",
            std::format("{}: the driver tells no events ({}); a reset will kill this process", device,
                        errno_text(registered.error())));
        events.reset();
    }
    auto down = CommandBuffers::create(**driver, chip, queue_depth, device);
    if (!down)
        return std::unexpected(std::move(down.error()));
    auto up = CommandBuffers::create(**driver, chip, queue_depth, device);
    if (!up)
        return std::unexpected(std::move(up.error()));
    Driver &calls = **driver;
    return std::shared_ptr<Session>(new Session{std::move(*driver), *hw, std::move(events), std::move(*down),
                                                std::move(*up), HbmArenas(calls, chip, *hw)});
}

} // namespace hl::kernel
