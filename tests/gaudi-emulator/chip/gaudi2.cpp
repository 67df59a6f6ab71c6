// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi2.h"
#include "chip/gaudi2layout.h"

#include <string_view>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

constexpr unsigned cfg_bar = 0;
constexpr unsigned msix_bar = 2;
constexpr unsigned dram_bar = 4;
constexpr uint32_t pba_offset = 0x2000;

} // namespace

std::expected<std::unique_ptr<Gaudi2>, std::string> Gaudi2::make(Settings settings)
{
    auto registers = RegisterFile::make(register_layout);
    if (!registers)
        return std::unexpected(registers.error());
    auto hbm = Hbm::make(hbm_layout);
    if (!hbm)
        return std::unexpected(hbm.error());
    return std::unique_ptr<Gaudi2>(new Gaudi2(std::move(settings), std::move(*registers), std::move(*hbm)));
}

Gaudi2::Gaudi2(Settings settings, std::unique_ptr<RegisterFile> registers, std::unique_ptr<Hbm> hbm)
    : faults_(std::move(settings.faults)), journal_("gaudi2", settings.quiet), registers_(std::move(registers)),
      hbm_(std::move(hbm)), router_(*registers_), interrupts_(bus_, journal_, msix_vectors), doorbell_(interrupts_),
      mmu_(bus_, *hbm_, *registers_, router_), fabric_(*registers_, *hbm_, bus_, mmu_, router_, interrupts_),
      cpu_port_(bus_), events_(*registers_, cpuif::page, cpu_port_, interrupts_, journal_),
      errors_(mmu_, events_, journal_), sync_(*registers_, journal_),
      dma_(fabric_, errors_, gate_, faults_, events_, {.null = settings.null}),
      packets_(engine_layout, *registers_, fabric_, dma_),
      boot_(firmware_layout, *registers_, *hbm_, faults_, journal_), decoders_(*registers_),
      clock_(*registers_, timestamp::page), pcie_wrap_(*registers_, hbw_flush),
      access_({.registers = cfg_bar, .sram = cfg_bar, .hbm = dram_bar}, bus_, *registers_, *hbm_, router_, journal_)
{
    sync_.connect(fabric_);
    kdma_ = std::make_unique<DmaCore>(DmaCore::Place{.name = "KDMA", .page = dma::kdma, .event = event_kdma_core},
                                      engine_layout.core, *registers_, fabric_, dma_, errors_, gate_, kdma_worker_);
    cpucp_ = std::make_unique<CpuCp>(firmware_layout, *registers_, cpu_port_, interrupts_, events_, faults_,
                                     cpu_worker_, journal_);
    make_queues();
    trap_pages();
    make_bars();
    reset_ = std::make_unique<Reset>(reset_parts());
    cpucp_->on_compute_reset([this] { reset_->compute(); });
    boot_.listen({.interrupt = [this](uint32_t id) { cpucp_->interrupt(id); },
                  .hard_reset = [this] { cpu_worker_.post([this] { reset_->hard(); }); }});
    reset_->hard();
}

Gaudi2::~Gaudi2()
{
    bus_.close();
    gate_.next();
}

void Gaudi2::make_queues()
{
    for (const auto &place : queue_manager_places())
        queues_.push_back(std::make_unique<QueueManager>(place, engine_layout, *registers_, fabric_, packets_, errors_,
                                                         gate_, worker_of(place)));
}

Worker &Gaudi2::worker_of(const QueueManagerPlace &place)
{
    using namespace std::string_view_literals;
    if (place.name == "PDMA0"sv)
        return pdma0_worker_;
    return place.name == "PDMA1"sv ? pdma1_worker_ : compute_worker_;
}

void Gaudi2::trap_pages()
{
    const auto &places = queue_manager_places();
    for (size_t i = 0; i < places.size(); ++i)
        router_.trap(places[i].page, *queues_[i]);
    router_.trap(dma::kdma, *kdma_);
    router_.trap(psoc::page, boot_);
    router_.trap(cpuif::page, *cpucp_);
    router_.trap(timestamp::page, clock_);
    router_.trap(pcie_wrap_page, pcie_wrap_);
    router_.trap(msix_doorbell_page, doorbell_);
    for (unsigned i = 0; i < dcores * 2; ++i)
        router_.trap(vdec::dcore0 + i / 2 * dcore_offset + i % 2 * vdec::instance_offset, decoders_);
    for (unsigned i = 0; i < 2; ++i)
        router_.trap(vdec::pcie + i * vdec::instance_offset, decoders_);
    for (unsigned i = 0; i < dcores; ++i)
        router_.watch(sm::base + i * dcore_offset, sm::size, sync_);
}

// gaudi2.c gaudi2_early_init() checks the sizes, gaudi2_enable_msix() wants all the vectors.
void Gaudi2::make_bars()
{
    bars_.push_back({.index = cfg_bar,
                     .size = cfg_bar_size,
                     .prefetchable = true,
                     .is64 = true,
                     .memfd = registers_->bar().fd(),
                     .mapped = router_.mapped_areas()});
    bars_.push_back({.index = msix_bar, .size = msix_bar_size, .prefetchable = true, .is64 = true});
    bars_.push_back({.index = dram_bar,
                     .size = dram_bar_size,
                     .prefetchable = true,
                     .is64 = true,
                     .memfd = hbm_->fd(),
                     .mapped = {{0, dram_size}}});
}

Reset::Parts Gaudi2::reset_parts()
{
    Reset::Parts parts{.registers = *registers_,
                       .hbm = *hbm_,
                       .bus = bus_,
                       .gate = gate_,
                       .interrupts = interrupts_,
                       .boot = boot_,
                       .keepers = {&events_, cpucp_.get(), &mmu_},
                       .engines = {kdma_.get(), &sync_},
                       .constants = idle_constant_registers(),
                       .workers = {&pdma0_worker_, &pdma1_worker_, &kdma_worker_, &compute_worker_},
                       .cpu = cpu_worker_};
    for (const auto &queue : queues_)
        parts.engines.push_back(queue.get());
    return parts;
}

ConfigSpaceInit Gaudi2::identity() const
{
    return {.vendor = 0x1da3,
            .device = 0x1020,
            .revision = 1, // habanalabs_drv.c get_asic_type(): 1..4
            .class_code = 0x120000,
            .subsystem_vendor = 0x1da3,
            .subsystem = 0x1020,
            .interrupts = MsixCapability{.vectors = msix_vectors,
                                         .table_bar = msix_bar,
                                         .table_offset = 0,
                                         .pba_bar = msix_bar,
                                         .pba_offset = pba_offset}};
}

uint64_t Gaudi2::read(unsigned bar, uint64_t offset, unsigned size)
{
    return access_.read(bar, offset, size);
}

void Gaudi2::write(unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
    access_.write(bar, offset, size, value);
}

// A card that is gone answers nothing: common/device.c is_pci_link_healthy() looks at the device id.
std::optional<uint32_t> Gaudi2::read_config(unsigned)
{
    return bus_.lost() ? std::optional(uint32_t{UINT32_MAX}) : std::nullopt;
}

bool Gaudi2::settle(std::chrono::seconds bound)
{
    Worker *const workers[] = {&cpu_worker_, &pdma0_worker_, &pdma1_worker_, &kdma_worker_, &compute_worker_};
    return chip::settle(workers, bound);
}

void Gaudi2::attach(PciHost &host)
{
    PciFunction::attach(host);
    bus_.attach(host);
}

void Gaudi2::reset()
{
    reset_->hard();
}

} // namespace gaudiemu::chip
