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
    return std::shared_ptr<Session>(
        new Session(std::move(*driver), chip, *hw, std::move(events), std::move(*down), std::move(*up)));
}

Session::Session(std::unique_ptr<Driver> driver, ChipKind kind, const uapi::HwIpInfo &hw, UniqueFd events,
                 CommandBuffers down, CommandBuffers up)
    : kind_(kind), driver_(std::move(driver)), hw_(hw), events_(std::move(events)), down_(std::move(down)),
      up_(std::move(up)), hbm_(*driver_, kind_, hw_)
{}

Sys<HbmBlock> Session::allocate_hbm(uint64_t bytes)
{
    return hbm_.allocate(bytes);
}

void Session::free_hbm(const HbmBlock &block)
{
    hbm_.free(block);
}

ChipSession::HbmUse Session::hbm_use() const
{
    return {.used = hbm_.used(), .size = hbm_.size(), .largest_free = hbm_.largest_free()};
}

std::expected<uint64_t, ChipSession::Refusal> Session::map_host(std::span<std::byte> pages)
{
    const auto address = driver_->map_host(pages);
    if (!address)
        return std::unexpected(Refusal{.sys_errno = address.error()});
    return *address;
}

void Session::unmap_host(std::span<std::byte>, uint64_t address) noexcept
{
    (void)driver_->unmap(address);
}

HbmBlock Session::exportable(const HbmBlock &part) const noexcept
{
    if (kind_ == ChipKind::Gaudi)
        return {.base = part.address(), .offset = 0}; // by physical address, as HbmArenas has it
    return part;
}

Sys<UniqueFd> Session::export_memory(const HbmBlock &named, uint64_t bytes)
{
    return driver_->export_memory(named.base, bytes, named.offset);
}

std::optional<uint64_t> Session::open_files(int dmabuf)
{
    return driver_->open_files(dmabuf);
}

Sys<void> Session::flush_inbound_writes()
{
    return driver_->flush_inbound_writes();
}

} // namespace hl::kernel
