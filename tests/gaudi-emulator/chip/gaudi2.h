// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/baraccess.h"
#include "chip/bootfirmware.h"
#include "chip/chipfaults.h"
#include "chip/chipsettings.h"
#include "chip/cpucp.h"
#include "chip/cpuport.h"
#include "chip/decoderbridge.h"
#include "chip/deviceclock.h"
#include "chip/dmacore.h"
#include "chip/dmaengine.h"
#include "chip/errorreporter.h"
#include "chip/eventqueue.h"
#include "chip/gaudi2fabric.h"
#include "chip/gaudi2mmu.h"
#include "chip/hbm.h"
#include "chip/hostbus.h"
#include "chip/interrupts.h"
#include "chip/jobgate.h"
#include "chip/journal.h"
#include "chip/msixdoorbell.h"
#include "chip/packetengine.h"
#include "chip/pciewrap.h"
#include "chip/queuemanager.h"
#include "chip/registerfile.h"
#include "chip/registerrouter.h"
#include "chip/reset.h"
#include "chip/syncmanager.h"
#include "chip/worker.h"
#include "pcifunction.h"

#include <chrono>
#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace gaudiemu::chip {

// A Gaudi2 (1da3:1020 revision 1) as the in-kernel habanalabs driver knows it: boot, CPU-CP, queues, DMA, MMUs, sync
// managers, interrupts and resets, with 96 GiB of HBM. It computes nothing: TPC, MME, rotators and decoders are always
// idle, NICs and ARCs are not there.
class Gaudi2 final : public PciFunction {
public:
    using Settings = ChipSettings;

    [[nodiscard]] static std::expected<std::unique_ptr<Gaudi2>, std::string> make(Settings settings);
    ~Gaudi2() override;

    [[nodiscard]] ConfigSpaceInit identity() const override;
    [[nodiscard]] std::span<const Bar> bars() const override { return bars_; }
    [[nodiscard]] uint64_t read(unsigned bar, uint64_t offset, unsigned size) override;
    void write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
    [[nodiscard]] std::optional<uint32_t> read_config(unsigned offset) override;
    void reset() override;
    void attach(PciHost &host) override;

    // Until nothing that was begun goes on, and nothing that it began in turn; false if that takes longer.
    [[nodiscard]] bool settle(std::chrono::seconds bound);

    [[nodiscard]] const Journal &journal() const noexcept { return journal_; }
    [[nodiscard]] const DmaEngine &dma() const noexcept { return dma_; }
    [[nodiscard]] const PcieWrap &pcie_wrap() const noexcept { return pcie_wrap_; }

private:
    Gaudi2(Settings settings, std::unique_ptr<RegisterFile> registers, std::unique_ptr<Hbm> hbm);

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
    MsixDoorbell doorbell_;
    Gaudi2Mmu mmu_;
    Gaudi2Fabric fabric_;
    CpuPort cpu_port_;
    EventQueue events_;
    ErrorReporter errors_;
    SyncManager sync_;
    DmaEngine dma_;
    PacketEngine packets_;
    BootFirmware boot_;
    DecoderBridge decoders_;
    DeviceClock clock_;
    PcieWrap pcie_wrap_;
    std::vector<std::unique_ptr<QueueManager>> queues_;
    std::unique_ptr<DmaCore> kdma_;
    std::unique_ptr<CpuCp> cpucp_;
    std::unique_ptr<Reset> reset_;
    std::vector<Bar> bars_;
    BarAccess access_;
    // Last, so that they end first: their jobs use all of the above.
    Worker pdma0_worker_;
    Worker pdma1_worker_;
    Worker kdma_worker_;
    Worker compute_worker_; // the queues that no user can reach
    Worker cpu_worker_;
};

} // namespace gaudiemu::chip
