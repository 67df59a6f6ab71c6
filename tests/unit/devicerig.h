// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/kerneldevice.h"
#include "backends/sim/simcontrol.h"
#include "fakegaudi.h"
#include "ruletable.h"
#include "simtest.h"

#include <memory>
#include <optional>
#include <string>
#include <thread>

// One Device of every kind that a table of rules is asked of: a backend times a chip.
namespace hl::test {

class DeviceRig {
public:
    DeviceRig() = default;
    DeviceRig(const DeviceRig &) = delete;
    DeviceRig &operator=(const DeviceRig &) = delete;
    virtual ~DeviceRig() = default;

    // As the driver's reset does; done when it returns.
    virtual void lose() = 0;
    // The next pinning, the next export fails with the errno; those after it are not asked for. Before anything was
    // allocated.
    virtual void fail_pins(int sys_errno) = 0;
    virtual void fail_exports(int sys_errno) = 0;
    // The PCI BAR reaches nothing of what a user has. Likewise.
    virtual void shrink_bar() = 0;
    // No copy begins any more, until thaw().
    virtual void freeze() = 0;
    virtual void thaw() = 0;

    std::shared_ptr<Device> device;
};

// The simulator, by one of its presets, with as much memory as FakeGaudi has.
class SimRig final : public DeviceRig {
public:
    SimRig(const char *chip, const char *mib) : chip_("HL_SIM_CHIP", chip), hbm_("HL_SIM_HBM_MB", mib)
    {
        device = open_sim();
    }
    ~SimRig() override { thaw(); }

    void lose() override { sim::lose(*device); }
    void fail_pins(int sys_errno) override { reopen("HL_SIM_FAULTS", "alloc:1=" + short_errno(sys_errno)); }
    void fail_exports(int sys_errno) override { reopen("HL_SIM_FAULTS", "export:1=" + short_errno(sys_errno)); }
    void shrink_bar() override { reopen("HL_SIM_BAR_MB", "1"); }
    void freeze() override { gate_.emplace(*device); }
    void thaw() override { gate_.reset(); }

private:
    void reopen(const char *name, const std::string &value)
    {
        device.reset();
        more_.emplace(name, value.c_str());
        device = open_sim();
    }

    Setting chip_, hbm_;
    std::optional<Setting> more_;
    std::optional<sim::DmaGate> gate_;
};

// The kernel backend on a played driver.
class KernelRig final : public DeviceRig {
public:
    explicit KernelRig(kernel::ChipKind kind) : gaudi_(std::make_shared<FakeGaudi>(kind))
    {
        const kernel::ChipNode node{
            .pci = {.address = "0000:4d:00.0",
                    .device = static_cast<uint16_t>(kind == kernel::ChipKind::Gaudi ? 0x1000 : 0x1020),
                    .accel = 0},
            .firmware = "played"};
        auto opened = kernel::KernelDevice::open_with(node, [g = gaudi_]() -> Result<std::unique_ptr<kernel::Driver>> {
            return std::make_unique<FakeDriver>(g);
        });
        EXPECT_OK(opened);
        if (opened)
            device = std::move(*opened);
    }
    ~KernelRig() override { thaw(); }

    void lose() override
    {
        gaudi_->reset_with_event();
        while (!device->lost())
            std::this_thread::yield();
    }
    void fail_pins(int sys_errno) override
    {
        const std::lock_guard lock(gaudi_->mutex);
        gaudi_->pin_error = sys_errno;
    }
    void fail_exports(int sys_errno) override
    {
        const std::lock_guard lock(gaudi_->mutex);
        gaudi_->export_error = sys_errno;
    }
    void shrink_bar() override { fail_exports(EINVAL); } // memory.c validate_export_params()
    void freeze() override { gaudi_->freeze(); }
    void thaw() override { gaudi_->thaw(); }

private:
    std::shared_ptr<FakeGaudi> gaudi_;
};

inline constexpr Columns sim_gaudi = 1, sim_gaudi2 = 2, driver_gaudi = 4, driver_gaudi2 = 8;
inline constexpr Columns on_gaudi = sim_gaudi | driver_gaudi, on_gaudi2 = sim_gaudi2 | driver_gaudi2;
inline constexpr Columns on_sim = sim_gaudi | sim_gaudi2, on_driver = driver_gaudi | driver_gaudi2;

inline std::vector<Column<DeviceRig>> device_columns()
{
    return {
        {sim_gaudi, "SIM Gaudi", [] { return std::make_unique<SimRig>("gaudi", "64"); }},
        {sim_gaudi2, "SIM Gaudi2", [] { return std::make_unique<SimRig>("gaudi2", "3072"); }},
        {driver_gaudi, "played Gaudi", [] { return std::make_unique<KernelRig>(kernel::ChipKind::Gaudi); }},
        {driver_gaudi2, "played Gaudi2", [] { return std::make_unique<KernelRig>(kernel::ChipKind::Gaudi2); }},
    };
}

} // namespace hl::test
