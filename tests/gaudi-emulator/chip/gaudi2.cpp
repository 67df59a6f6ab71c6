// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi2.h"
#include "chip/registers.h"

#include <cstring>
#include <format>
#include <string_view>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

constexpr unsigned cfg_bar = 0;
constexpr unsigned msix_bar = 2;
constexpr unsigned dram_bar = 4;
constexpr uint32_t pba_offset = 0x2000;
constexpr uint64_t all_ones = UINT64_MAX;

} // namespace

std::expected<std::unique_ptr<Gaudi2>, std::string> Gaudi2::make(Settings settings)
{
    auto registers = RegisterFile::make();
    if (!registers)
        return std::unexpected(registers.error());
    auto hbm = Hbm::make();
    if (!hbm)
        return std::unexpected(hbm.error());
    return std::unique_ptr<Gaudi2>(new Gaudi2(std::move(settings), std::move(*registers), std::move(*hbm)));
}

Gaudi2::Gaudi2(Settings settings, std::unique_ptr<RegisterFile> registers, std::unique_ptr<Hbm> hbm)
    : faults_(std::move(settings.faults)), journal_("gaudi2", settings.quiet), registers_(std::move(registers)),
      hbm_(std::move(hbm)), router_(*registers_), interrupts_(bus_, journal_), mmu_(bus_, *hbm_, *registers_, router_),
      fabric_(*registers_, *hbm_, bus_, mmu_, router_, interrupts_), events_(*registers_, bus_, interrupts_, journal_),
      errors_(*registers_, events_, journal_), sync_(*registers_, journal_),
      dma_(fabric_, errors_, gate_, faults_, events_, {.null = settings.null}), packets_(*registers_, fabric_, dma_),
      boot_(*registers_, *hbm_, faults_, journal_), decoders_(*registers_), clock_(*registers_), pcie_wrap_(*registers_)
{
    sync_.connect(fabric_);
    kdma_ = std::make_unique<Kdma>(*registers_, fabric_, dma_, errors_, gate_, kdma_worker_);
    cpucp_ = std::make_unique<CpuCp>(*registers_, bus_, interrupts_, events_, faults_, cpu_worker_, journal_);
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
        queues_.push_back(
            std::make_unique<QueueManager>(place, *registers_, fabric_, packets_, errors_, gate_, worker_of(place)));
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
    router_.trap(msix_doorbell_page, interrupts_);
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
                     .memfd = registers_->fd(),
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
    return {.registers = *registers_,
            .hbm = *hbm_,
            .bus = bus_,
            .gate = gate_,
            .interrupts = interrupts_,
            .mmu = mmu_,
            .sync = sync_,
            .events = events_,
            .kdma = *kdma_,
            .cpucp = *cpucp_,
            .boot = boot_,
            .queues = queues_,
            .engines = {&pdma0_worker_, &pdma1_worker_, &kdma_worker_, &compute_worker_},
            .cpu = cpu_worker_};
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
    if (bus_.lost())
        return all_ones;
    if (bar == cfg_bar && offset >= cfg_in_bar && offset - cfg_in_bar < cfg_size) {
        const auto reg = static_cast<uint32_t>(offset - cfg_in_bar);
        if (router_.trapped(reg)) {
            if (size == 8)
                return static_cast<uint64_t>(router_.read(reg + 4)) << 32 | router_.read(reg);
            return router_.read(reg) >> (reg % 4 * 8);
        }
    }
    // A page that the guest may also map: the same bytes.
    const std::byte *const memory = bar == cfg_bar && offset + size <= cfg_bar_size ? registers_->bar() + offset
                                    : bar == dram_bar                               ? hbm_->at(dram_base + offset, size)
                                                                                    : nullptr;
    if (!memory)
        return all_ones;
    uint64_t value = 0;
    std::memcpy(&value, memory, size);
    return value;
}

void Gaudi2::write(unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
    if (bus_.lost())
        return;
    if (bar == cfg_bar && offset >= cfg_in_bar && offset - cfg_in_bar < cfg_size) {
        const auto reg = static_cast<uint32_t>(offset - cfg_in_bar);
        if (router_.trapped(reg)) {
            if (size < 4) {
                journal_.fault(std::format("a write of {} bytes to register {:#x}", size, reg));
                return;
            }
            router_.write(reg, static_cast<uint32_t>(value), Origin::Host);
            if (size == 8)
                router_.write(reg + 4, static_cast<uint32_t>(value >> 32), Origin::Host);
            return;
        }
    }
    std::byte *const memory = bar == cfg_bar && offset + size <= cfg_bar_size ? registers_->bar() + offset
                              : bar == dram_bar                               ? hbm_->at(dram_base + offset, size)
                                                                              : nullptr;
    if (memory)
        std::memcpy(memory, &value, size);
}

// A card that is gone answers nothing: common/device.c is_pci_link_healthy() looks at the device id.
std::optional<uint32_t> Gaudi2::read_config(unsigned)
{
    return bus_.lost() ? std::optional(uint32_t{UINT32_MAX}) : std::nullopt;
}

bool Gaudi2::settle(std::chrono::seconds bound)
{
    const auto end = std::chrono::steady_clock::now() + bound;
    const auto round = [&] {
        std::optional<uint64_t> jobs = 0;
        for (Worker *const worker : {&cpu_worker_, &pdma0_worker_, &pdma1_worker_, &kdma_worker_, &compute_worker_}) {
            const auto posted = worker->idle_by(end);
            jobs = jobs && posted ? std::optional(*jobs + *posted) : std::nullopt;
        }
        return jobs;
    };
    // Idle twice with nothing posted between: all were idle at once when the second round began.
    auto before = round();
    for (auto after = round(); before && after; before = after, after = round())
        if (before == after)
            return true;
    return false;
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
