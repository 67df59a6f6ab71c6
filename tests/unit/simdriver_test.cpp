// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A thing that works on the simulator and fails on a driver is a defect of the simulator: the same errno at the same
// place is the same error on both. The driver is played, its calls fail as the kernel's do (facts in
// device/driveranswer.h).
#include "backends/kernel/kerneldevice.h"
#include "fakegaudi.h"
#include "habanalabs/openladder.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <format>
#include <map>
#include <utility>
#include <vector>

using hl::ErrorCode;
using hl::Placement;
using hl::test::FakeGaudi;

namespace {

enum class Call { Allocate, MapHost, Export, Submit, Wait, Flush };

struct Orders {
    std::map<Call, int> errors; // each strikes once
    int take(Call call)
    {
        const auto at = errors.find(call);
        return at == errors.end() ? 0 : std::exchange(at->second, 0);
    }
};

// A played driver whose next calls fail.
class FailingDriver final : public hl::test::FakeDriver {
public:
    FailingDriver(std::shared_ptr<FakeGaudi> gaudi, std::shared_ptr<Orders> orders)
        : FakeDriver(std::move(gaudi)), orders_(std::move(orders))
    {}

    hl::kernel::Sys<uint64_t> allocate(uint64_t bytes) override
    {
        if (const int err = orders_->take(Call::Allocate))
            return std::unexpected(err);
        return FakeDriver::allocate(bytes);
    }
    hl::kernel::Sys<uint64_t> map_host(std::span<std::byte> pages) override
    {
        if (const int err = orders_->take(Call::MapHost))
            return std::unexpected(err);
        return FakeDriver::map_host(pages);
    }
    hl::kernel::Sys<hl::UniqueFd> export_memory(uint64_t address, uint64_t bytes, uint64_t offset) override
    {
        if (const int err = orders_->take(Call::Export))
            return std::unexpected(err);
        return FakeDriver::export_memory(address, bytes, offset);
    }
    hl::kernel::Sys<uint64_t> submit(uint32_t queue, const hl::kernel::CommandBuffer &buffer,
                                     std::chrono::seconds limit) override
    {
        if (const int err = orders_->take(Call::Submit))
            return std::unexpected(err);
        return FakeDriver::submit(queue, buffer, limit);
    }
    hl::kernel::Sys<bool> wait(uint64_t sequence, std::chrono::microseconds limit) override
    {
        if (const int err = orders_->take(Call::Wait))
            return std::unexpected(err);
        return FakeDriver::wait(sequence, limit);
    }
    hl::kernel::Sys<void> flush_inbound_writes() override
    {
        if (const int err = orders_->take(Call::Flush))
            return std::unexpected(err);
        return FakeDriver::flush_inbound_writes();
    }

private:
    const std::shared_ptr<Orders> orders_;
};

// One use of each operation, of which the ordered one fails.
hl::Status use(const std::shared_ptr<hl::Device> &device)
{
    const auto hbm = hl::OwnedMemory::allocate(device, 4096, Placement::Device);
    if (!hbm)
        return std::unexpected(hbm.error());
    const auto host = hl::OwnedMemory::allocate(device, 4096, Placement::Host);
    if (!host)
        return std::unexpected(host.error());
    if (auto fd = device->export_dmabuf(hbm->get()); !fd)
        return std::unexpected(std::move(fd.error()));
    const hl::CopyRegion region{.source = host->get(), .target = hbm->get(), .row_bytes = 4096};
    if (auto copied = device->copy({&region, 1}); !copied)
        return copied;
    return device->flush_inbound_writes();
}

std::string outcome(const hl::Status &status)
{
    return status ? "goes on" : std::string(hl::error_code_name(status.error().code));
}

std::string on_sim(const char *point, int err)
{
    const hl::test::Setting faults("HL_SIM_FAULTS", std::format("{}:1={}", point, ::strerrorname_np(err)).c_str());
    return outcome(use(hl::test::open_sim()));
}

std::string on_driver(Call call, int err)
{
    const auto gaudi = std::make_shared<FakeGaudi>(hl::kernel::ChipKind::Gaudi2);
    const auto orders = std::make_shared<Orders>();
    const hl::kernel::ChipNode node{.pci = {.address = "0000:4d:00.0", .device = 0x1020, .accel = 0, .legacy = false},
                                    .firmware = "emulated-gaudi2"};
    auto opened = hl::kernel::KernelDevice::open_with(node, [&]() -> hl::Result<std::unique_ptr<hl::kernel::Driver>> {
        return std::make_unique<FailingDriver>(gaudi, orders);
    });
    if (!opened)
        return opened.error().details();
    const std::shared_ptr<hl::Device> device = std::move(*opened);
    orders->errors[call] = err;
    const auto status = use(device);
    EXPECT_EQ(orders->errors[call], 0) << "the driver was never called so";
    return outcome(status);
}

struct Row {
    const char *point;
    Call call;
    std::vector<int> errors; // of the kernel's call (habanalabs: memory.c, command_submission.c, drm_ioctl)
};

const Row rows[] = {
    {"alloc-device", Call::Allocate, {ENOMEM, EINVAL, EBUSY, ENODEV}},
    {"alloc-host", Call::MapHost, {ENOMEM, EFAULT, EINVAL, EPERM, EBUSY, ENODEV}},
    {"export", Call::Export, {EINVAL, ENOMEM, EMFILE, ENFILE, EOPNOTSUPP, EBUSY, ENODEV}},
    {"copy-submit", Call::Submit, {EINVAL, ENOMEM, EPERM, EBUSY, ENODEV, ETIMEDOUT}},
    {"copy", Call::Wait, {EIO, ETIMEDOUT, EBUSY, ENODEV, EINVAL}},
    {"flush", Call::Flush, {EINVAL, EBUSY, ENODEV, EOPNOTSUPP, ENOMEM}},
};

} // namespace

TEST(SimAndDriver, SayTheSameOfTheSameErrno)
{
    for (const Row &row : rows) {
        std::printf("%-13s", row.point);
        for (const int err : row.errors) {
            const std::string driver = on_driver(row.call, err), sim = on_sim(row.point, err);
            EXPECT_EQ(sim, driver) << row.point << " " << ::strerrorname_np(err);
            std::printf(" %s %s", ::strerrorname_np(err), driver.c_str());
        }
        std::printf("\n");
    }
}

TEST(SimAndDriver, SayTheSameOfARefusedOpen)
{
    std::printf("open         ");
    for (const int err : {EAGAIN, EBUSY, EPERM, EACCES, ENOMEM, ENODEV, ENXIO, EINVAL, ENOENT, EMFILE, ENFILE}) {
        const hl::test::Setting faults("HL_SIM_FAULTS", std::format("open:1={}", ::strerrorname_np(err)).c_str());
        const auto sim = hl::Device::open("sim");
        ASSERT_FALSE(sim) << ::strerrorname_np(err);
        hl::kernel::OpenState state;
        state.status = "operational";
        const hl::Error driver = hl::kernel::open_error(err, state);
        EXPECT_EQ(hl::error_code_name(sim.error().code), hl::error_code_name(driver.code)) << ::strerrorname_np(err);
        EXPECT_EQ(sim.error().sys_errno, err);
        EXPECT_FALSE(sim.error().remedy.empty());
        std::printf(" %s %s", ::strerrorname_np(err), std::string(hl::error_code_name(driver.code)).c_str());
    }
    std::printf("\n");
}
