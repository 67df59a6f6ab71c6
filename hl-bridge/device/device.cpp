// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device.h"

#include "backends/backends.h"
#include "core/log.h"
#include "device/devicespec.h"
#include "device/devicetable.h"
#include "device/driveranswer.h"

#include <linux/dma-buf.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <format>
#include <iterator>
#include <optional>
#include <string>
#include <thread>

namespace hl {
namespace {

constexpr const char *sim_remedy = "use device=sim (or HL_DEVICE=sim) for the simulator";

std::string variable(const char *name, const char *otherwise)
{
    const char *value = std::getenv(name);
    return value && *value ? value : otherwise;
}

// What settle() leaves, a backend takes.
const Backend &backend_for(const DeviceSpec &spec)
{
    return *std::ranges::find_if(backends(), [&](const Backend &backend) { return backend.takes(spec); });
}

bool names(const DeviceSpec &spec, const PciGaudi &gaudi)
{
    switch (spec.kind) {
    case DeviceSpec::Kind::Accel:
        return std::cmp_equal(gaudi.accel, spec.number);
    case DeviceSpec::Kind::Module:
        return std::cmp_equal(gaudi.module, spec.number);
    case DeviceSpec::Kind::Pci:
        return gaudi.address == spec.name;
    case DeviceSpec::Kind::Auto:
        return true;
    case DeviceSpec::Kind::Sim:
        break;
    }
    return false;
}

// The Gaudi that `spec` names, as the specification of its PCI address.
Result<DeviceSpec> find_hardware(const DeviceSpec &spec, const std::vector<PciGaudi> &present)
{
    const std::string operation = std::format("open {}", spec.text());
    bool hidden = false;
    for (const PciGaudi &gaudi : present) {
        if (!names(spec, gaudi))
            continue;
        auto seen = visible(gaudi);
        if (!seen)
            return std::unexpected(std::move(seen.error()));
        hidden |= !*seen;
        if (*seen)
            return DeviceSpec{.kind = DeviceSpec::Kind::Pci, .name = gaudi.address, .runtime = spec.runtime};
    }
    if (hidden)
        return fail(ErrorCode::DeviceNotFound, operation,
                    std::format("{} is hidden by HABANA_VISIBLE_MODULES or HABANA_VISIBLE_DEVICES", spec.text()),
                    std::format("change those variables, or {}", sim_remedy), ENODEV, spec.text());
    return fail(ErrorCode::DeviceNotFound, operation,
                std::format("no Gaudi on the PCI bus is {} ({} found)", spec.text(), present.size()), sim_remedy,
                ENODEV, spec.text());
}

Result<DeviceSpec> settle(DeviceSpec spec)
{
    if (spec.kind == DeviceSpec::Kind::Sim)
        return spec;
    const auto present = find_pci_gaudis(sysfs_root());
    const bool any = spec.runtime == DeviceSpec::Runtime::Any;
    if (spec.kind == DeviceSpec::Kind::Auto && any && present.empty())
        return DeviceSpec{.kind = DeviceSpec::Kind::Sim};
    auto found = find_hardware(spec, present);
    if (!found || !any)
        return found;
    const auto runtime = DeviceSpec::runtime_from_environment();
    if (!runtime)
        return std::unexpected(runtime.error());
    found->runtime = *runtime;
    return found;
}

// A chip has one object in a process, by whichever runtime it was opened first: who asks for the other one is told.
Status check_runtime(const DeviceSpec &spec, const DeviceInfo &info)
{
    if (spec.kind == DeviceSpec::Kind::Sim || spec.runtime == DeviceSpec::Runtime::Any)
        return {};
    const char *wanted = spec.runtime == DeviceSpec::Runtime::Synapse ? "synapse" : "kernel";
    if (info.backend == wanted)
        return {};
    return fail(ErrorCode::DeviceBusy, std::format("open {}", spec.text()),
                std::format("{} is open in this process as {}:{}, and not to be opened as {}:{} as well", info.name,
                            info.backend, spec.name, wanted, spec.name),
                "give all elements of the process the same device=, or set HL_RUNTIME", EBUSY, info.name);
}

} // namespace

static uint32_t next_device_id() noexcept
{
    static constinit std::atomic<uint32_t> last{0};
    return ++last;
}

Device::Device() noexcept : id_(next_device_id()) {}

Device::~Device() = default;

Result<std::shared_ptr<Device>> Device::open(std::string_view text)
{
    const std::string wanted = text.empty() ? variable("HL_DEVICE", "auto") : std::string(text);
    auto spec = DeviceSpec::parse(wanted);
    if (spec)
        spec = settle(*spec);
    if (!spec)
        return std::unexpected(std::move(spec.error()));
    const std::string &chip = spec->kind == DeviceSpec::Kind::Pci ? spec->name : spec->text();
    auto device = DeviceTable::instance().get(chip, [&] { return backend_for(*spec).open(*spec); });
    if (device)
        if (auto same = check_runtime(*spec, (*device)->info()); !same)
            return std::unexpected(std::move(same.error()));
    return device;
}

std::vector<DeviceListing> Device::enumerate()
{
    const auto present = find_pci_gaudis(sysfs_root());
    // A list of visible devices that is malformed hides nothing: open() says what is wrong with it.
    const auto listed = [&present](const DeviceListing &device) {
        const auto gaudi = std::ranges::find(present, device.pci_address, &PciGaudi::address);
        return gaudi == present.end() ? device.simulated == present.empty() : visible(*gaudi).value_or(true);
    };
    std::vector<DeviceListing> found;
    for (const Backend &backend : backends())
        std::ranges::copy_if(backend.enumerate(), std::back_inserter(found), listed);
    return found;
}

Status Device::copy(std::span<const CopyRegion> regions, Deadline deadline)
{
    CopyRequest request{.deadline = deadline};
    if (regions.size() > request.region.size())
        return fail(ErrorCode::CopyFailed, "DMA copy",
                    std::format("{} regions in one request; {} can be taken", regions.size(), request.region.size()),
                    {}, EINVAL, info().name);
    std::ranges::copy(regions, request.region.begin());
    request.regions = regions.size();
    CompletionWaiter waiter;
    // Other streams may fill the queue, and nobody tells us when their copies end.
    const Deadline give_up = std::min(deadline, Clock::now() + longest_wait_for_room);
    for (;;) {
        auto submitted = submit({&request, 1}, waiter);
        if (submitted)
            break;
        if (submitted.error().code != ErrorCode::QueueFull || Clock::now() >= give_up)
            return submitted;
        std::this_thread::sleep_for(room_interval);
    }
    // The device ends the request at its deadline; until it has let go, the memories are in use.
    return *waiter.wait();
}

Result<bool> Device::wait_readers(int fd, Deadline deadline)
{
    // DMA_BUF_SYNC_WRITE: all fences a writer has to wait for, readers' and writers' (linux/dma-buf.h).
    dma_buf_export_sync_file args{.flags = DMA_BUF_SYNC_WRITE, .fd = -1};
    if (::ioctl(fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &args) < 0)
        return fence_answer(errno);
    const UniqueFd fence(args.fd);
    for (;;) {
        timespec left{};
        timespec *timeout = nullptr;
        if (deadline != no_deadline) {
            const auto rest = std::max(deadline - Clock::now(), Clock::duration::zero());
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(rest);
            left.tv_sec = seconds.count();
            left.tv_nsec = std::chrono::nanoseconds(rest - seconds).count();
            timeout = &left;
        }
        pollfd entry{.fd = fence.get(), .events = POLLIN, .revents = 0};
        const int ready = ::ppoll(&entry, 1, timeout, nullptr);
        if (ready > 0)
            return true;
        if (ready == 0)
            return fence_answer(ETIMEDOUT);
        if (errno != EINTR)
            return fence_answer(errno);
    }
}

Result<bool> Device::fence_answer(int err) const
{
    constexpr const char *operation = "wait for readers";
    if (err == ENOTTY)
        return false;
    if (says_no_descriptor(err))
        return fail(ErrorCode::FdLimit, operation, "no descriptor left for the frame's fence",
                    "raise the limit of open files (ulimit -n)", err, info().name);
    return fail(ErrorCode::FenceTimeout, operation,
                err == ETIMEDOUT ? "a reader of the exported frame did not finish in time"
                                 : "the frame's fence cannot be waited for",
                "look for a stalled display or encoder downstream", err, info().name);
}

OwnedMemory::OwnedMemory(std::shared_ptr<Device> device, const Memory &memory) noexcept
    : device_(std::move(device)), memory_(memory)
{}

OwnedMemory::OwnedMemory(OwnedMemory &&other) noexcept
    : device_(std::move(other.device_)), memory_(std::exchange(other.memory_, {}))
{}

OwnedMemory &OwnedMemory::operator=(OwnedMemory &&other) noexcept
{
    if (this != &other) {
        reset();
        device_ = std::move(other.device_);
        memory_ = std::exchange(other.memory_, {});
    }
    return *this;
}

OwnedMemory::~OwnedMemory()
{
    reset();
}

Result<OwnedMemory> OwnedMemory::allocate(std::shared_ptr<Device> device, uint64_t size, Placement placement,
                                          HostPages pages)
{
    auto memory = device->allocate(size, placement, pages);
    if (!memory)
        return std::unexpected(std::move(memory.error()));
    return OwnedMemory(std::move(device), *memory);
}

void OwnedMemory::reset() noexcept
{
    if (!device_)
        return;
    if (auto released = device_->release(memory_); !released)
        log(LogLevel::Error, "device", released.error().details());
    device_.reset();
    memory_ = {};
}

} // namespace hl
