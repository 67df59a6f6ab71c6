// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi1.h"
#include "chip/gaudi1layout.h"

#include <string_view>

namespace gaudiemu::chip {

using namespace gaudi1;

namespace {

// include/gaudi/gaudi.h.
constexpr unsigned sram_bar = 0;
constexpr unsigned cfg_bar = 2;
constexpr unsigned dram_bar = 4;
constexpr unsigned msi_vectors = 1; // gaudi.c gaudi_enable_msi() asks for no more

} // namespace

std::expected<std::unique_ptr<Gaudi1>, std::string> Gaudi1::make(Settings settings)
{
    auto registers = RegisterFile::make(register_layout);
    if (!registers)
        return std::unexpected(registers.error());
    auto hbm = Hbm::make(hbm_layout);
    if (!hbm)
        return std::unexpected(hbm.error());
    return std::unique_ptr<Gaudi1>(new Gaudi1(std::move(settings), std::move(*registers), std::move(*hbm)));
}

Gaudi1::Gaudi1(Settings settings, std::unique_ptr<RegisterFile> registers, std::unique_ptr<Hbm> hbm)
    : faults_(std::move(settings.faults)), journal_("gaudi", settings.quiet), registers_(std::move(registers)),
      hbm_(std::move(hbm)), router_(*registers_), interrupts_(bus_, journal_, msi_vectors),
      msi_(*registers_, interrupts_), mmu_(*hbm_, *registers_, router_),
      fabric_(*registers_, *hbm_, bus_, mmu_, router_, interrupts_), cpu_port_(bus_, *registers_),
      events_(*registers_, cpuif::page, cpu_port_, interrupts_, journal_), errors_(mmu_, events_, journal_),
      sync_(*registers_, journal_), dma_(fabric_, errors_, gate_, faults_, events_, {.null = settings.null}),
      packets_(engine_layout, *registers_, fabric_, dma_),
      boot_(firmware_layout, *registers_, *hbm_, faults_, journal_), clock_(*registers_, timestamp_page),
      pcie_wrap_(*registers_, hbw_flush), elbi_(router_, cfg_base, cfg_size, journal_),
      access_({.registers = cfg_bar, .sram = sram_bar, .hbm = dram_bar}, bus_, *registers_, *hbm_, router_, journal_)
{
    cpucp_ = std::make_unique<CpuCp>(firmware_layout, *registers_, cpu_port_, interrupts_, events_, faults_,
                                     cpu_worker_, journal_);
    make_queues();
    trap_pages();
    make_bars();
    reset_ = std::make_unique<Reset>(reset_parts());
    boot_.listen({.interrupt = [this](uint32_t id) { cpucp_->interrupt(id); },
                  .hard_reset = [this] { cpu_worker_.post([this] { reset_->hard(); }); }});
    reset_->hard();
}

Gaudi1::~Gaudi1()
{
    bus_.close();
    gate_.next();
}

void Gaudi1::make_queues()
{
    for (const auto &place : queue_manager_places()) {
        Worker &worker = worker_of(place);
        queues_.push_back(std::make_unique<QueueManager>(place, engine_layout, *registers_, fabric_, packets_, errors_,
                                                         gate_, worker));
        if (place.core_event)
            cores_.push_back(std::make_unique<DmaCore>(
                DmaCore::Place{.name = place.name, .page = place.core_page, .event = place.core_event},
                engine_layout.core, *registers_, fabric_, dma_, errors_, gate_, worker));
    }
}

Worker &Gaudi1::worker_of(const QueueManagerPlace &place)
{
    using namespace std::string_view_literals;
    if (place.name == "DMA0"sv)
        return dma0_worker_;
    return place.name == "DMA1"sv ? dma1_worker_ : internal_worker_;
}

void Gaudi1::trap_pages()
{
    const auto &places = queue_manager_places();
    for (size_t i = 0; i < places.size(); ++i)
        router_.trap(places[i].page, *queues_[i]);
    for (size_t i = 0; i < cores_.size(); ++i)
        router_.trap(places[i].core_page, *cores_[i]);
    router_.trap(psoc::page, boot_);
    router_.trap(cpuif::page, *cpucp_);
    router_.trap(timestamp_page, clock_);
    router_.trap(pcie_wrap_page, pcie_wrap_);
    router_.trap(pcie_core_page, msi_);
    for (const uint32_t block : sm::blocks)
        router_.watch(block, sm::size, sync_);
}

// gaudi.c gaudi_early_init() checks the sizes of the first two.
void Gaudi1::make_bars()
{
    bars_.push_back({.index = sram_bar,
                     .size = sram_bar_size,
                     .prefetchable = true,
                     .is64 = true,
                     .memfd = registers_->sram_bar().fd(),
                     .mapped = {{0, sram_bar_size}}});
    bars_.push_back({.index = cfg_bar,
                     .size = cfg_bar_size,
                     .prefetchable = true,
                     .is64 = true,
                     .memfd = registers_->bar().fd(),
                     .mapped = router_.mapped_areas()});
    bars_.push_back({.index = dram_bar,
                     .size = dram_size,
                     .prefetchable = true,
                     .is64 = true,
                     .memfd = hbm_->fd(),
                     .mapped = {{0, dram_size}}});
}

Reset::Parts Gaudi1::reset_parts()
{
    Reset::Parts parts{.registers = *registers_,
                       .hbm = *hbm_,
                       .bus = bus_,
                       .gate = gate_,
                       .interrupts = interrupts_,
                       .boot = boot_,
                       .keepers = {&events_, cpucp_.get(), &mmu_},
                       .engines = {},
                       .constants = idle_constant_registers(),
                       .workers = {&dma0_worker_, &dma1_worker_, &internal_worker_},
                       .cpu = cpu_worker_};
    for (const auto &queue : queues_)
        parts.engines.push_back(queue.get());
    for (const auto &core : cores_)
        parts.engines.push_back(core.get());
    return parts;
}

ConfigSpaceInit Gaudi1::identity() const
{
    return {.vendor = 0x1da3,
            .device = 0x1000, // habanalabs_drv.c get_asic_type()
            .revision = 1,
            .class_code = 0x120000,
            .subsystem_vendor = 0x1da3,
            .subsystem = 0x1000,
            .interrupts = MsiCapability{.vectors = msi_vectors}};
}

uint64_t Gaudi1::read(unsigned bar, uint64_t offset, unsigned size)
{
    return access_.read(bar, offset, size);
}

void Gaudi1::write(unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
    access_.write(bar, offset, size, value);
}

// A card that is gone answers nothing: common/device.c is_pci_link_healthy() looks at the device id.
std::optional<uint32_t> Gaudi1::read_config(unsigned offset)
{
    return bus_.lost() ? std::optional(uint32_t{UINT32_MAX}) : elbi_.read(offset);
}

bool Gaudi1::write_config(unsigned offset, uint32_t value)
{
    return !bus_.lost() && elbi_.write(offset, value);
}

bool Gaudi1::settle(std::chrono::seconds bound)
{
    Worker *const workers[] = {&cpu_worker_, &dma0_worker_, &dma1_worker_, &internal_worker_};
    return chip::settle(workers, bound);
}

void Gaudi1::attach(PciHost &host)
{
    PciFunction::attach(host);
    bus_.attach(host);
}

void Gaudi1::reset()
{
    elbi_.reset();
    reset_->hard();
}

} // namespace gaudiemu::chip
