// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/synapsedevice.h"

#include "backends/synapse/synapseengine.h"
#include "backends/synapse/watcher.h"
#include "core/log.h"
#include "core/stragglers.h"
#include "device/devicespec.h"
#include "inference/engine.h"
#include "inference/nullengine.h"

#include <cerrno>
#include <format>
#include <utility>

namespace hl::synapse {
namespace {

DeviceInfo describe(const Library &library, const habanalabs::ChipNode &node, Session &session)
{
    namespace uapi = habanalabs::uapi;
    const auto hw = habanalabs::node_info<uapi::HwIpInfo>(session.health_node(), uapi::info_hw_ip);
    return {.name = node.name(),
            .backend = "synapse",
            .stand_in = library.is_double() ? "DBL" : node.stand_in(),
            .chip = node.chip(),
            .spec = node.pci.address,
            .memory_size = session.hbm_use().size,
            .page_size = hw ? hw->dram_page_size : 0,
            .caveat = library.is_double() ? "SynapseAI double: computes on the host" : "",
            .simulated = false,
            .udmabuf = try_open_udmabuf().valid()};
}

abi::DmaDirection direction_of(const CopyRegion &region) noexcept
{
    if (region.source.placement == Placement::Host)
        return abi::host_to_dram;
    return region.target.placement == Placement::Host ? abi::dram_to_host : abi::dram_to_dram;
}

} // namespace

bool SynapseDevice::usable() noexcept
{
    const auto library = Library::load();
    if (library)
        return true;
    const Error &error = library.error();
    const bool here = error.code != ErrorCode::SynapseMissing || error.sys_errno != ENOENT;
    log(here ? LogLevel::Warning : LogLevel::Info, "synapse",
        std::format("a Gaudi is used without SynapseAI, so that it does not compute: {}; {}", error.cause,
                    error.remedy));
    return false;
}

Result<std::unique_ptr<Device>> SynapseDevice::open(const std::string &address)
{
    const auto library = Library::load();
    if (!library)
        return std::unexpected(library.error());
    const auto node = habanalabs::chip_to_open(sysfs_root(), address);
    if (!node)
        return std::unexpected(node.error());
    std::unique_ptr<SynapseDevice> device(new SynapseDevice);
    auto chip = Chip::create(device->id(), *library, *node);
    if (!chip)
        return std::unexpected(std::move(chip.error()));
    device->chip_ = std::move(*chip);
    const auto session = device->chip_->session(device->chip_->lock());
    device->info_ = describe(*library, *node, *session);
    log(library->is_double() ? LogLevel::Warning : LogLevel::Info, "synapse",
        std::format("{}: SynapseAI \"{}\" of {}", node->name(), library->version(), library->path()));
    try {
        device->start();
    } catch (const std::system_error &error) {
        return no_thread("open device", error, node->name());
    }
    return device;
}

void SynapseDevice::start()
{
    const uint32_t generation = this->generation();
    down_ = std::make_shared<CopyQueue>(chip_, generation);
    up_ = std::make_shared<CopyQueue>(chip_, generation);
    for (const auto &queue : {down_, up_})
        threads_.emplace_back([queue] { queue->work(); });
    threads_.emplace_back([watcher = std::make_unique<Watcher>(chip_)] { watcher->work(); });
}

SynapseDevice::~SynapseDevice()
{
    if (!chip_)
        return;
    chip_->close();
    if (chip_->delivery().delivering_here()) {
        join_elsewhere(std::move(threads_)); // a listener let go of the device: this is one of them
        return;
    }
    for (std::thread &thread : threads_)
        thread.join();
}

uint32_t SynapseDevice::generation() const noexcept
{
    return chip_->generation(chip_->lock());
}

bool SynapseDevice::lost() const noexcept
{
    return chip_->lost(chip_->lock());
}

Status SynapseDevice::recover()
{
    return chip_->recover();
}

Result<Memory> SynapseDevice::allocate(uint64_t size, Placement placement, HostPages pages)
{
    return chip_->allocate(size, placement, pages);
}

Status SynapseDevice::release(const Memory &memory)
{
    return chip_->release(memory);
}

Result<UniqueFd> SynapseDevice::export_dmabuf(const Memory &memory)
{
    return chip_->export_dmabuf(memory);
}

Result<Memory> SynapseDevice::resolve_dmabuf(int fd)
{
    return chip_->resolve_dmabuf(fd);
}

Result<std::span<std::byte>> SynapseDevice::host_span(const Memory &memory)
{
    return chip_->host_span(memory);
}

Status SynapseDevice::submit(std::span<const CopyRequest> requests, CompletionListener &listener)
{
    // The last completion may let go of this device before this returns.
    const auto chip = chip_;
    const auto down_queue = down_, up_queue = up_;
    const auto lock = chip->lock();
    if (auto alive = chip->check_alive(lock, "DMA copy"); !alive)
        return alive;
    // First pass: nothing is queued unless all can be.
    size_t down = 0, up = 0;
    for (const CopyRequest &request : requests) {
        habanalabs::CopyJob job;
        const auto way = chip->translate(lock, request, job);
        if (!way)
            return std::unexpected(way.error());
        ++(*way == CopyWay::Up ? up : down);
    }
    if (!down_queue->fits(lock, down) || !up_queue->fits(lock, up))
        return fail(ErrorCode::QueueFull, "DMA copy",
                    std::format("{} requests do not fit into a queue of {}", requests.size(), CopyQueue::capacity),
                    "wait for a completion before submitting more", EAGAIN, chip->name());
    for (const CopyRequest &request : requests) {
        CopyQueue::Job job;
        job.id = request.id;
        job.listener = &listener;
        job.deadline = request.deadline;
        CopyQueue &queue = *chip->translate(lock, request, job) == CopyWay::Up ? *up_queue : *down_queue;
        job.direction = direction_of(request.region[0]);
        queue.push(lock, job);
    }
    return {};
}

Status SynapseDevice::flush_inbound_writes()
{
    return chip_->flush_inbound_writes();
}

Result<std::shared_ptr<Engine>> SynapseDevice::create_engine(const Model &model, const EngineOptions &options)
{
    if (auto alive = chip_->check_alive(chip_->lock(), "load model"); !alive)
        return std::unexpected(std::move(alive.error()));
    if (model.info && model.info->engine == "null")
        return std::make_shared<NullEngine>(model, options);
    return SynapseEngine::create(shared_from_this(), chip_, model, options);
}

Device::Usage SynapseDevice::usage() const
{
    return chip_->usage();
}

} // namespace hl::synapse
