// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simdevice.h"

#include "backends/sim/namelock.h"
#include "backends/sim/simengine.h"
#include "core/log.h"
#include "inference/engine.h"

#include <cerrno>
#include <format>

namespace hl::sim {
namespace {

// All but what is known once the chip is there.
DeviceInfo info_of(std::string_view name, const Preset &preset, uint64_t memory_size)
{
    const std::string spec = name.empty() ? "sim" : std::format("sim:{}", name);
    return {.name = spec,
            .backend = "sim",
            .stand_in = "SIM",
            .chip = std::string(preset.chip),
            .spec = spec,
            .memory_size = memory_size,
            .page_size = preset.device_page,
            .simulated = true};
}

} // namespace

DeviceListing SimDevice::list()
{
    // Opening tells what is malformed.
    const Settings settings = Settings::from_environment().value_or(Settings{});
    const DeviceInfo info = info_of({}, *settings.preset, settings.hbm_user_bytes);
    return {.name = info.name,
            .backend = info.backend,
            .stand_in = info.stand_in,
            .chip = info.chip,
            .spec = info.spec,
            .simulated = info.simulated};
}

SimDevice::SimDevice(DeviceInfo info) : info_(std::move(info)) {}

Result<std::unique_ptr<Device>> SimDevice::open(std::string_view name)
{
    auto settings = Settings::from_environment();
    if (!settings)
        return std::unexpected(std::move(settings.error()));
    UniqueFd name_lock;
    if (!name.empty()) {
        auto taken = lock_name(name);
        if (!taken)
            return std::unexpected(std::move(taken.error()));
        name_lock = std::move(*taken);
    }
    std::unique_ptr<SimDevice> device(new SimDevice(info_of(name, *settings->preset, settings->hbm_user_bytes)));
    auto chip = Chip::create(device->id(), device->info_.name, std::move(*settings), std::move(name_lock));
    if (!chip)
        return std::unexpected(std::move(chip.error()));
    if (const Fault fault = (*chip)->next_fault((*chip)->lock(), FaultPoint::Open); fault.error)
        return std::unexpected((*chip)->open_error(fault.error));
    device->info_.udmabuf = (*chip)->has_udmabuf();
    device->chip_ = std::move(*chip);
    device->dma_ = std::make_unique<DmaEngine>(device->chip_);
    return device;
}

SimDevice::~SimDevice() = default;

uint32_t SimDevice::generation() const noexcept
{
    return chip_->generation(chip_->lock());
}

bool SimDevice::lost() const noexcept
{
    return chip_->lost(chip_->lock());
}

Status SimDevice::recover()
{
    return chip_->recover();
}

Result<Memory> SimDevice::allocate(uint64_t size, Placement placement, HostPages pages)
{
    return chip_->allocate(size, placement, pages);
}

Status SimDevice::release(const Memory &memory)
{
    return chip_->release(memory);
}

Result<UniqueFd> SimDevice::export_dmabuf(const Memory &memory)
{
    return chip_->export_dmabuf(memory);
}

Result<Memory> SimDevice::resolve_dmabuf(int fd)
{
    return chip_->resolve_dmabuf(fd);
}

Result<std::span<std::byte>> SimDevice::host_span(const Memory &memory)
{
    return chip_->host_span(memory);
}

Status SimDevice::submit(std::span<const CopyRequest> requests, CompletionListener &listener)
{
    return dma_->submit(requests, listener);
}

Status SimDevice::flush_inbound_writes()
{
    constexpr const char *operation = "flush inbound writes";
    const auto lock = chip_->lock();
    if (auto alive = chip_->check_alive(lock, operation); !alive)
        return alive;
    const Status flushed = chip_->strike(lock, FaultPoint::Flush, operation, ErrorCode::CopyFailed);
    // EOPNOTSUPP: a chip that needs none (command_submission.c cs_ioctl_flush_pci_hbw_writes).
    if (!flushed && flushed.error().sys_errno != EOPNOTSUPP)
        return flushed;
    chip_->count_flush(lock);
    return {};
}

Result<bool> SimDevice::wait_readers(int fd, Deadline deadline)
{
    if (const int err = chip_->fence_fault(); err != 0)
        return fence_answer(err);
    return Device::wait_readers(fd, deadline);
}

Result<std::shared_ptr<Engine>> SimDevice::create_engine(const Model &model, const EngineOptions &options)
{
    if (auto ready = chip_->check_alive_and_strike(FaultPoint::Engine, "load model", ErrorCode::ComputeMissing); !ready)
        return std::unexpected(std::move(ready.error()));
    auto inner = create_cpu_engine(model, options, make_sim_resolver(chip_));
    if (!inner) {
        inner.error().device = info_.name;
        return std::unexpected(std::move(inner.error()));
    }
    if ((*inner)->info().preprocess == PreprocessPlace::Host)
        log(LogLevel::Info, "sim",
            std::format(
                "{}: the frame is scaled and converted outside the model; on a Gaudi that has to be part of the "
                "model, because a Gaudi runs recipes only",
                model.name));
    return std::make_shared<SimEngine>(shared_from_this(), chip_, std::move(*inner));
}

Device::Usage SimDevice::usage() const
{
    return chip_->usage();
}

} // namespace hl::sim
