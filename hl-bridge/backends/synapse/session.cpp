// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/session.h"

#include "core/log.h"
#include "device/memory.h"
#include "habanalabs/openladder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <format>
#include <string_view>
#include <thread>
#include <utility>

namespace hl::synapse {

using habanalabs::ChipSession;
using habanalabs::HbmBlock;
using habanalabs::Sys;

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr const char *operation = "open device";
constexpr auto first_interval = 25ms, longest_interval = 400ms;
// How long a refusal that the driver has no word for may yet be the last user's release, of which SynapseAI's own
// helpers are a part.
constexpr auto unexplained_patience = 2s;
constexpr uint64_t largest_usual_pool = 4ull << 30;

constexpr const char *see_logs = "see SynapseAI's log (~/.habana_logs, or $HABANA_LOGS) and the kernel log";

// What says that the device is taken or not ready, rather than that the call is wrong: the vendor does not say which of
// these an open(2) of the driver that fails becomes.
bool may_pass(abi::Status status) noexcept
{
    switch (status) {
    case abi::no_device_found:
    case abi::device_reset:
    case abi::busy:
    case abi::all_resources_taken:
    case abi::unavailable:
    case abi::fail:
        return true;
    default:
        return false;
    }
}

bool same_address(std::string_view a, std::string_view b)
{
    return std::ranges::equal(
        a, b, {}, [](unsigned char c) { return std::tolower(c); }, [](unsigned char c) { return std::tolower(c); });
}

} // namespace

std::unexpected<Error> no_thread(const char *what, const std::system_error &error, const std::string &device)
{
    return fail(ErrorCode::DeviceUnusable, what, std::format("no thread can be had: {}", error.what()),
                "raise the limit of processes (ulimit -u, or the container's)", error.code().value(), device);
}

Result<uint64_t> frame_pool_size(const char *setting, uint64_t free_bytes)
{
    if (!setting || !*setting)
        return std::min(free_bytes / 2, largest_usual_pool);
    const std::string_view text = setting;
    uint64_t mib = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mib);
    if (error != std::errc{} || end != text.data() + text.size() || mib == 0 || mib > (uint64_t{1} << 30))
        return fail(ErrorCode::DeviceConfig, "read HL_SYNAPSE_POOL_MB",
                    std::format("HL_SYNAPSE_POOL_MB=\"{:.60}\" is not valid: it is a number of MiB", text),
                    "set HL_SYNAPSE_POOL_MB to the MiB of device memory that frames may take, for instance 2048");
    return mib << 20;
}

Session::Session(const Library &library, const habanalabs::ChipNode &chip, DeviceClaim claim) noexcept
    : library_(library), chip_(chip),
      numbers_(chip.pci.legacy ? habanalabs::uapi::legacy_ioctls : habanalabs::uapi::accel_ioctls),
      claim_(std::move(claim))
{}

Result<std::shared_ptr<Session>> Session::open(const Library &library, const habanalabs::ChipNode &chip)
{
    auto claim = DeviceClaim::take(chip.pci.address);
    if (!claim)
        return std::unexpected(std::move(claim.error()));
    std::shared_ptr<Session> session(new Session(library, chip, std::move(*claim)));
    session->control_.reset(::open(chip.control_node().c_str(), O_RDWR | O_CLOEXEC));
    for (const auto step :
         {&Session::initialize, &Session::acquire, &Session::describe, &Session::find_mapping, &Session::take_frames})
        if (auto done = ((*session).*step)(); !done)
            return std::unexpected(std::move(done.error()));
    if (!session->control_)
        log(LogLevel::Info, "synapse",
            std::format("{}: {} cannot be opened; the device's health is asked of its compute node", chip.name(),
                        chip.control_node()));
    return session;
}

std::unexpected<Error> Session::failed(ErrorCode code, std::string cause, std::string remedy) const
{
    return fail(code, operation, std::move(cause), std::move(remedy), 0, chip_.name());
}

Status Session::initialize()
{
    // A second synInitialize is a success too, and everything before the first is synUninitialized (HCL synapse_api.h):
    // whoever was first in this process, a framework perhaps, destroys it.
    abi::DeviceInfoV2 none{};
    const bool by_others = library_->synDeviceGetInfoV2(abi::only_device, &none) != abi::uninitialized;
    const abi::Status status = library_->synInitialize();
    initialized_ = status == abi::success && !by_others;
    if (status == abi::success || status == abi::already_initialized)
        return {};
    return failed(ErrorCode::SynapseCall, library_.failure("synInitialize", status), see_logs);
}

// --- acquiring ---

int Session::why_refused() const
{
    const auto now = habanalabs::find_chip(sysfs_root(), chip_.pci.address);
    if (now && habanalabs::in_reset(now->status))
        return EAGAIN;
    if (now && !habanalabs::operational(now->status))
        return EPERM; // as open(2) says it: habanalabs_drv.c hl_device_open()
    if (control_)
        if (const auto stats = habanalabs::open_stats({control_.get(), numbers_})) {
            if (stats->compute_ctx_in_release)
                return EAGAIN;
            if (stats->is_compute_ctx_active)
                return EBUSY;
        }
    // Asked of the file alone: opening the compute node would make us its user for a moment.
    if (::access(chip_.compute_node().c_str(), R_OK | W_OK) != 0 && (errno == EACCES || errno == EPERM))
        return errno;
    return 0;
}

Status Session::acquire()
{
    const auto began = steady_clock::now();
    const bool by_module = chip_.pci.module >= 0;
    const char *const call = by_module ? "synDeviceAcquireByModuleId" : "synDeviceAcquire";
    auto interval = first_interval;
    for (bool reset_seen = false;;) {
        uint32_t device = 0;
        const abi::Status status =
            by_module ? library_->synDeviceAcquireByModuleId(&device, static_cast<uint32_t>(chip_.pci.module))
                      : library_->synDeviceAcquire(&device, chip_.pci.address.c_str());
        if (status == abi::success) {
            acquired_ = true;
            claim_.set_unreleased(false);
            if (device == abi::only_device)
                return {};
            return failed(ErrorCode::SynapseAbi, std::format("{} gave the device id {}, not 0", call, device),
                          "report this, with the release of SynapseAI");
        }
        if (status == abi::device_already_acquired)
            return share();
        const int err = may_pass(status) ? why_refused() : 0;
        const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began);
        if (err != 0) {
            auto state = habanalabs::OpenState::look(chip_, err);
            state.reset_seen = reset_seen = reset_seen || habanalabs::in_reset(state.status);
            if (!habanalabs::try_again(err, state, waited)) {
                Error refused = habanalabs::open_error(err, state);
                refused.cause += std::format("; {}", library_.failure(call, status));
                return std::unexpected(std::move(refused));
            }
        } else if (!may_pass(status) || waited >= unexplained_patience) {
            return failed(ErrorCode::SynapseCall, library_.failure(call, status), see_logs);
        }
        std::this_thread::sleep_for(interval);
        interval = std::min(2 * interval, longest_interval);
    }
}

// The claim says that it is no session of ours: a framework of this process has the device.
Status Session::share()
{
    if (const std::string theirs = acquired_address(); !same_address(theirs, chip_.pci.address))
        return failed(ErrorCode::SynapseHolder,
                      std::format("other software in this process has {} through SynapseAI, which gives a process one "
                                  "device",
                                  theirs.empty() ? "a device" : theirs),
                      "use that device, or open this one in a process of its own; HL_RUNTIME=kernel opens any number");
    initialized_ = false;
    if (claim_.unreleased()) {
        acquired_ = true;
        return {};
    }
    log(LogLevel::Info, "synapse",
        std::format("{} is shared with other software in this process, which is to keep it acquired meanwhile",
                    chip_.name()));
    return {};
}

bool Session::still_acquired() const
{
    abi::DeviceInfoV2 now{};
    return acquired_ || (library_->synDeviceGetInfoV2(abi::only_device, &now) == abi::success && now.fd == info_.fd);
}

std::string Session::acquired_address() const
{
    std::array<char, 64> text{};
    if (library_->synDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), abi::only_device) != abi::success)
        return {};
    text.back() = '\0';
    return text.data();
}

Status Session::describe()
{
    const abi::Status status = library_->synDeviceGetInfoV2(abi::only_device, &info_);
    if (status != abi::success)
        return failed(ErrorCode::SynapseCall, library_.failure("synDeviceGetInfoV2", status), see_logs);
    if (info_.fd < 0 || !info_.dram_enabled)
        return failed(
            ErrorCode::DeviceUnusable,
            std::format("SynapseAI says that {} has {}", chip_.name(), info_.fd < 0 ? "no compute node" : "no memory"),
            see_logs);
    // Module ids are the board's: a stale sysfs tree could have led to another chip.
    if (const std::string got = acquired_address(); acquired_ && !same_address(got, chip_.pci.address))
        return failed(ErrorCode::DeviceUnusable,
                      std::format("SynapseAI acquired {} where {} was asked for", got, chip_.pci.address),
                      "report this, with the output of hl-smi -L");
    return {};
}

// --- memory ---

// Gaudi2 and Gaudi3: synDeviceMalloc gives addresses inside one mapping of the driver, and an export names its start,
// which is SCAL's to tell (G3SW scal_init_gaudi2.cpp, scal_init_gaudi3.cpp; so do libfabric's and UCX's users).
Status Session::find_mapping()
{
    if (info_.type == abi::gaudi)
        return {}; // by physical address
    const auto scal = library_.scal();
    if (!scal) {
        if (info_.global_hbm_base == 0)
            return std::unexpected(scal.error());
        mapping_ = info_.global_hbm_base; // what 1.21 fills in for this; the kernel refuses an export if it is not
        return {};
    }
    abi::ScalHandle handle = nullptr;
    abi::ScalPoolHandle pool = nullptr;
    abi::ScalPoolInfo about{};
    const auto refused = [this](const char *call, int code) {
        return failed(ErrorCode::SynapseCall, std::format("{} failed ({})", call, code), see_logs);
    };
    if (const int code = scal->scal_get_handle_from_fd(info_.fd, &handle); code != abi::scal_success)
        return refused("scal_get_handle_from_fd", code);
    if (const int code = scal->scal_get_pool_handle_by_name(handle, abi::scal_user_pool, &pool);
        code != abi::scal_success)
        return refused("scal_get_pool_handle_by_name", code);
    if (const int code = scal->scal_pool_get_infoV2(pool, &about); code != abi::scal_success)
        return refused("scal_pool_get_infoV2", code);
    mapping_ = about.device_base_allocated;
    return {};
}

Status Session::take_frames()
{
    const uint64_t free = free_bytes();
    auto bytes = frame_pool_size(std::getenv("HL_SYNAPSE_POOL_MB"), free);
    if (!bytes)
        return std::unexpected(std::move(bytes.error()));
    const uint64_t whole = *bytes & ~(export_page - 1);
    // synDeviceMalloc aligns to 128 bytes, an export to a page.
    const auto block = whole ? allocate(whole + export_page) : std::nullopt;
    if (!block)
        return failed(
            ErrorCode::MemoryFull,
            std::format("{} MiB of HBM for frames are not free: SynapseAI has {} MiB", *bytes >> 20, free >> 20),
            "set HL_SYNAPSE_POOL_MB to fewer MiB, or end what else uses the device in this process");
    block_ = *block;
    frames_address_ = round_to_export_page(block_);
    frames_.emplace(whole, export_page);
    if (!mapping_ || frames_address_ >= *mapping_)
        return {};
    return failed(ErrorCode::SynapseAbi,
                  std::format("device memory at {:#x} lies before its mapping at {:#x}", frames_address_, *mapping_),
                  "report this, with the release of SynapseAI");
}

Sys<HbmBlock> Session::allocate_hbm(uint64_t bytes)
{
    const auto offset = frames_->allocate(bytes);
    if (!offset)
        return std::unexpected(ENOMEM);
    return HbmBlock{frames_address_, *offset};
}

void Session::free_hbm(const HbmBlock &block)
{
    (void)frames_->free(block.offset);
}

ChipSession::HbmUse Session::hbm_use() const
{
    return {.used = frames_->used(), .size = frames_->size(), .largest_free = frames_->largest_free()};
}

// SynapseAI's copies take the CPU's address of what it has mapped.
std::expected<uint64_t, ChipSession::Refusal> Session::map_host(std::span<std::byte> pages)
{
    const abi::Status status = library_->synHostMap(abi::only_device, pages.size(), pages.data());
    if (status != abi::success)
        return std::unexpected(Refusal{.why = library_.failure("synHostMap", status), .lost = says_lost(status)});
    return reinterpret_cast<uintptr_t>(pages.data());
}

void Session::unmap_host(std::span<std::byte> pages, uint64_t) noexcept
{
    (void)library_->synHostUnmap(abi::only_device, pages.data());
}

HbmBlock Session::exportable(const HbmBlock &part) const noexcept
{
    if (!mapping_)
        return {.base = part.address(), .offset = 0};
    return {.base = *mapping_, .offset = part.address() - *mapping_};
}

Sys<UniqueFd> Session::export_memory(const HbmBlock &named, uint64_t bytes)
{
    return habanalabs::export_memory(compute_node(), named.base, bytes, named.offset);
}

std::optional<uint64_t> Session::open_files(int dmabuf)
{
    return habanalabs::open_files(dmabuf);
}

// A call of the driver on SynapseAI's node: it takes no queue and no slot of SynapseAI's, who submits through SCAL's
// engines (command_submission.c cs_ioctl_flush_pci_hbw_writes).
Sys<void> Session::flush_inbound_writes()
{
    return habanalabs::flush_inbound_writes(compute_node());
}

habanalabs::Node Session::health_node() const noexcept
{
    return {control_ ? control_.get() : info_.fd, numbers_};
}

std::optional<uint64_t> Session::allocate(uint64_t bytes) const
{
    uint64_t address = 0;
    if (library_->synDeviceMalloc(abi::only_device, bytes, 0, 0, &address) != abi::success)
        return std::nullopt;
    return address;
}

void Session::free(uint64_t address) const noexcept
{
    if (lost_ && !acquired_)
        return;
    (void)library_->synDeviceFree(abi::only_device, address, 0);
}

uint64_t Session::free_bytes() const
{
    uint64_t free = 0, total = 0;
    if (library_->synDeviceGetMemoryInfo(abi::only_device, &free, &total) != abi::success)
        return 0;
    return free;
}

Session::~Session()
{
    if (block_ != 0)
        free(block_);
    if (!acquired_)
        return; // synDestroy may hang in a process that acquired nothing (libfabric hmem_synapseai.c)
    const abi::Status status = library_->synDeviceRelease(abi::only_device);
    claim_.set_unreleased(status != abi::success);
    if (status != abi::success)
        log(LogLevel::Warning, "synapse",
            std::format("{}: {}", chip_.name(), library_.failure("synDeviceRelease", status)));
    else if (initialized_)
        (void)library_->synDestroy();
}

} // namespace hl::synapse
