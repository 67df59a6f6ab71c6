// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/kerneldevice.h"

#include "backends/kernel/nodeopener.h"
#include "core/stragglers.h"
#include "device/copycheck.h"
#include "inference/model.h"

#include <cerrno>
#include <format>
#include <optional>
#include <utility>

namespace hl::kernel {
namespace {

DeviceInfo describe(const ChipNode &node, const uapi::HwIpInfo &hw)
{
    return {.name = node.name(),
            .backend = "kernel",
            .stand_in = node.stand_in(),
            .chip = node.chip(),
            .spec = node.pci.address,
            .memory_size = hw.dram_size,
            .page_size = hw.dram_page_size,
            .simulated = false,
            .udmabuf = try_open_udmabuf().valid()};
}

} // namespace

Result<std::unique_ptr<Device>> KernelDevice::open(const std::string &address)
{
    const auto node = chip_to_open(sysfs_root(), address);
    if (!node)
        return std::unexpected(node.error());
    return open_with(*node, [node = *node] { return open_node(node); });
}

Result<std::unique_ptr<Device>> KernelDevice::open_with(const ChipNode &node, DriverOpener opener)
{
    const auto kind = node.kind();
    if (!kind)
        return fail(ErrorCode::DeviceUnusable, std::format("open {}", node.pci.address),
                    std::format("{} is a chip that this version does not drive", node.name()),
                    "device=sim runs on the simulator", ENOTSUP, node.name());
    std::unique_ptr<KernelDevice> device(new KernelDevice({}));
    auto chip = Chip::create(device->id(), node.name(), *kind, node.pci.legacy, std::move(opener));
    if (!chip)
        return std::unexpected(std::move(chip.error()));
    device->chip_ = std::move(*chip);
    device->info_ = describe(node, device->chip_->session(device->chip_->lock())->hw());
    device->start();
    return device;
}

std::vector<DeviceListing> KernelDevice::enumerate()
{
    std::vector<DeviceListing> found;
    for (const ChipNode &node : find_chips(sysfs_root()))
        found.push_back({.name = node.name(),
                         .backend = "kernel",
                         .stand_in = node.stand_in(),
                         .chip = node.chip(),
                         .spec = node.pci.address,
                         .pci_address = node.pci.address,
                         .node = node.compute_node(),
                         .driver = node.driver,
                         .driver_version = node.driver_version,
                         .firmware = node.firmware,
                         .status = node.status,
                         .module = node.pci.module < 0 ? std::nullopt : std::optional(node.pci.module),
                         .numa_node = node.numa_node});
    return found;
}

void KernelDevice::start()
{
    down_ = std::make_shared<DmaQueue>(chip_, CopyWay::Down);
    up_ = std::make_shared<DmaQueue>(chip_, CopyWay::Up);
    {
        const auto lock = chip_->lock();
        chip_->add_waiter(lock, down_->wake());
        chip_->add_waiter(lock, up_->wake());
    }
    for (const auto &queue : {down_, up_})
        threads_.emplace_back([queue, chip = chip_] {
            queue->work();
            const auto lock = chip->lock();
            chip->remove_waiter(lock, queue->wake());
        });
    threads_.emplace_back([watcher = std::make_unique<Watcher>(chip_)] { watcher->work(); });
}

KernelDevice::~KernelDevice()
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

uint32_t KernelDevice::generation() const noexcept
{
    return chip_->generation(chip_->lock());
}

bool KernelDevice::lost() const noexcept
{
    return chip_->lost(chip_->lock());
}

Status KernelDevice::recover()
{
    return chip_->recover();
}

Result<Memory> KernelDevice::allocate(uint64_t size, Placement placement, HostPages pages)
{
    return chip_->allocate(size, placement, pages);
}

Status KernelDevice::release(const Memory &memory)
{
    return chip_->release(memory);
}

Result<UniqueFd> KernelDevice::export_dmabuf(const Memory &memory)
{
    return chip_->export_dmabuf(memory);
}

Result<Memory> KernelDevice::resolve_dmabuf(int fd)
{
    return chip_->resolve_dmabuf(fd);
}

Result<std::span<std::byte>> KernelDevice::host_span(const Memory &memory)
{
    return chip_->host_span(memory);
}

Status KernelDevice::submit(std::span<const CopyRequest> requests, CompletionListener &listener)
{
    // The last completion may let go of this device before this returns.
    const auto chip = chip_;
    const auto down_queue = down_, up_queue = up_;
    auto lock = chip->lock();
    if (auto alive = chip->check_alive(lock, "DMA copy"); !alive)
        return alive;
    // First pass: nothing is queued unless all can be.
    size_t down = 0, up = 0;
    for (const CopyRequest &request : requests) {
        CopyJob job;
        const auto way = chip->translate(lock, request, job);
        if (!way)
            return std::unexpected(way.error());
        ++(*way == CopyWay::Up ? up : down);
    }
    if (!down_queue->fits(lock, down) || !up_queue->fits(lock, up))
        return fail(ErrorCode::QueueFull, "DMA copy",
                    std::format("{} requests do not fit into a queue of {}", requests.size(), DmaQueue::ring_size),
                    "wait for a completion before submitting more", EAGAIN, chip->name());
    for (const CopyRequest &request : requests) {
        DmaJob job;
        job.id = request.id;
        job.listener = &listener;
        job.deadline = request.deadline;
        job.generation = chip->generation(lock);
        DmaQueue &queue = *chip->translate(lock, request, job) == CopyWay::Up ? *up_queue : *down_queue;
        for (size_t h = 0; h < 2 * job.moves; ++h)
            chip->hold(lock, *job.held[h]);
        chip->request_begins(lock);
        queue.push(lock, job);
    }
    if (down)
        down_queue->pump(lock);
    if (up)
        up_queue->pump(lock);
    return {};
}

Status KernelDevice::flush_inbound_writes()
{
    return chip_->flush_inbound_writes();
}

Result<std::shared_ptr<Engine>> KernelDevice::create_engine(const Model &model, const EngineOptions &)
{
    if (auto alive = chip_->check_alive(chip_->lock(), "load model"); !alive)
        return std::unexpected(std::move(alive.error()));
    return fail(ErrorCode::ComputeMissing, "load model",
                std::format("{} cannot run {}: a Gaudi computes through Intel's SynapseAI software alone, and it was "
                            "opened without",
                            info_.name, model.name),
                std::format("device=synapse:{} says why SynapseAI was not taken; compute=host runs the model on the "
                            "CPU, with a counted read-back of each frame that lies in HBM; device=sim simulates a "
                            "device that computes",
                            info_.spec),
                ENOTSUP, info_.name);
}

Device::Usage KernelDevice::usage() const
{
    return chip_->usage();
}

} // namespace hl::kernel
