// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/baraccess.h"
#include "chip/bootfirmware.h"
#include "chip/chipfaults.h"
#include "chip/chipsettings.h"
#include "chip/cpucp.h"
#include "chip/deviceclock.h"
#include "chip/dmacore.h"
#include "chip/dmaengine.h"
#include "chip/elbi.h"
#include "chip/errorreporter.h"
#include "chip/eventqueue.h"
#include "chip/gaudi1cpuport.h"
#include "chip/gaudi1fabric.h"
#include "chip/gaudi1mmu.h"
#include "chip/hbm.h"
#include "chip/hostbus.h"
#include "chip/interrupts.h"
#include "chip/jobgate.h"
#include "chip/journal.h"
#include "chip/msirequest.h"
#include "chip/packetengine.h"
#include "chip/pciewrap.h"
#include "chip/queuemanager.h"
#include "chip/registerfile.h"
#include "chip/registerrouter.h"
#include "chip/reset.h"
#include "chip/syncobjects.h"
#include "chip/worker.h"
#include "pcifunction.h"

#include <chrono>
#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace gaudiemu::chip {

// A first Gaudi (1da3:1000, an HL-205) as the in-kernel habanalabs driver knows it: boot, CPU-CP, queues, DMA, the MMU
// of host memory, interrupts and hard resets, with 32 GiB of HBM that nothing translates. It computes nothing: TPC and
// MME are always idle, NICs are not there, sync streams are not built.
class Gaudi1 final : public PciFunction {
public:
    using Settings = ChipSettings;

    [[nodiscard]] static std::expected<std::unique_ptr<Gaudi1>, std::string> make(Settings settings);
    ~Gaudi1() override;

    [[nodiscard]] ConfigSpaceInit identity() const override;
    [[nodiscard]] std::span<const Bar> bars() const override { return bars_; }
    [[nodiscard]] uint64_t read(unsigned bar, uint64_t offset, unsigned size) override;
    void write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
    [[nodiscard]] std::optional<uint32_t> read_config(unsigned offset) override;
    [[nodiscard]] bool write_config(unsigned offset, uint32_t value) override;
    void reset() override;
    void attach(PciHost &host) override;

    // Until nothing that was begun goes on, and nothing that it began in turn; false if that takes longer.
    [[nodiscard]] bool settle(std::chrono::seconds bound);

    [[nodiscard]] const Journal &journal() const noexcept { return journal_; }
    [[nodiscard]] const DmaEngine &dma() const noexcept { return dma_; }
    [[nodiscard]] const PcieWrap &pcie_wrap() const noexcept { return pcie_wrap_; }

private:
    Gaudi1(Settings settings, std::unique_ptr<RegisterFile> registers, std::unique_ptr<Hbm> hbm);

    void make_queues();
    void trap_pages();
    void make_bars();
    [[nodiscard]] Reset::Parts reset_parts();
    [[nodiscard]] Worker &worker_of(const QueueManagerPlace &place);

    ChipFaults faults_;
    Journal journal_;
    std::unique_ptr<RegisterFile> registers_;
    std::unique_ptr<Hbm> hbm_;
    HostBus bus_;
    JobGate gate_;
    RegisterRouter router_;
    Interrupts interrupts_;
    MsiRequest msi_;
    Gaudi1Mmu mmu_;
    Gaudi1Fabric fabric_;
    Gaudi1CpuPort cpu_port_;
    EventQueue events_;
    ErrorReporter errors_;
    SyncObjects sync_;
    DmaEngine dma_;
    PacketEngine packets_;
    BootFirmware boot_;
    DeviceClock clock_;
    PcieWrap pcie_wrap_;
    Elbi elbi_;
    std::vector<std::unique_ptr<QueueManager>> queues_;
    std::vector<std::unique_ptr<DmaCore>> cores_;
    std::unique_ptr<CpuCp> cpucp_;
    std::unique_ptr<Reset> reset_;
    std::vector<Bar> bars_;
    BarAccess access_;
    // Last, so that they end first: their jobs use all of the above.
    Worker dma0_worker_;
    Worker dma1_worker_;
    Worker internal_worker_; // the queues that the driver never submits to itself
    Worker cpu_worker_;
};

} // namespace gaudiemu::chip
