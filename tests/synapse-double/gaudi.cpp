// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gaudi.h"

#include "habanalabs/nodecalls.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <format>
#include <utility>

namespace hl::dbl {

namespace uapi = habanalabs::uapi;

namespace {

constexpr uint32_t gaudi2_ids[] = {0x1020, 0x1021};

} // namespace

std::expected<std::shared_ptr<Gaudi>, synStatus> Gaudi::acquire(const PciGaudi &pci, By by, bool kill_on_failure)
{
    const UniqueFd control(::open(std::format("/dev/accel/accel_controlD{}", pci.accel).c_str(), O_RDWR | O_CLOEXEC));
    if (!control)
        return std::unexpected(synNoDeviceFound);
    // How long the runtime waits out a reset is not known: the double does not, and its caller has to.
    const auto status = habanalabs::device_status({.fd = control.get(), .numbers = uapi::accel_ioctls});
    if (!status || *status != uapi::status_operational)
        return std::unexpected(synFail);
    const auto hw =
        habanalabs::node_info<uapi::HwIpInfo>({.fd = control.get(), .numbers = uapi::accel_ioctls}, uapi::info_hw_ip);
    if (!hw)
        return std::unexpected(synNoDeviceFound);
    if (hw->device_id != gaudi2_ids[0] && hw->device_id != gaudi2_ids[1])
        return std::unexpected(synDeviceTypeMismatch);
    UniqueFd node(::open(std::format("/dev/accel/accel{}", pci.accel).c_str(), O_RDWR | O_CLOEXEC));
    if (!node)
        return std::unexpected(by == By::Pci ? synFail : synNoDeviceFound);
    const int fd = node.get();
    auto driver = std::make_unique<kernel::IoctlDriver>(std::move(node), uapi::accel_ioctls);
    std::shared_ptr<Gaudi> gaudi(new Gaudi(pci, fd, std::move(driver), *hw, kill_on_failure));
    auto hbm = HbmPool::take(gaudi->driver(), hw->dram_size / hw->dram_page_size * hw->dram_page_size);
    if (!hbm)
        return std::unexpected(synOutOfDeviceMemory);
    gaudi->hbm_ = std::move(*hbm);
    if (!gaudi->listen())
        return std::unexpected(synFail);
    gaudi->scal_.mapping = gaudi->hbm_->mapping();
    gaudi->scal_.base = gaudi->hbm_->base();
    gaudi->scal_.total = gaudi->hbm_->size();
    gaudi->scal_.free = gaudi->hbm_->free_bytes();
    ::scalDoubleAttach(fd, &gaudi->scal_);
    return gaudi;
}

Gaudi::Gaudi(const PciGaudi &pci, int fd, std::unique_ptr<kernel::Driver> driver, const uapi::HwIpInfo &hw,
             bool kill_on_failure)
    : pci_(pci), fd_(fd), driver_(std::move(driver)), hw_(hw), kill_on_failure_(kill_on_failure)
{}

Gaudi::~Gaudi()
{
    ::scalDoubleDetach();
    if (watcher_.joinable()) {
        (void)::eventfd_write(stop_.get(), 1);
        watcher_.join();
    }
    for (const auto &[host, range] : host_)
        if (!range.pages)
            (void)driver_->unmap(range.address);
}

// --- failure ---

bool Gaudi::listen()
{
    events_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    stop_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!events_ || !stop_ || !driver_->register_events(events_.get()))
        return false;
    watcher_ = std::thread([this] { watch(); });
    return true;
}

void Gaudi::watch()
{
    for (;;) {
        std::array<pollfd, 2> entries{{{.fd = events_.get(), .events = POLLIN, .revents = 0},
                                       {.fd = stop_.get(), .events = POLLIN, .revents = 0}}};
        (void)::poll(entries.data(), entries.size(), -1);
        if (entries[1].revents)
            return;
        if (!entries[0].revents)
            continue;
        eventfd_t count = 0;
        (void)::eventfd_read(events_.get(), &count);
        if (const auto events = driver_->take_events(); events && *events)
            fail(lock(), std::format("the driver tells events {:#x}", *events));
    }
}

void Gaudi::fail(const Lock &, const std::string &why)
{
    if (std::exchange(failed_, true))
        return;
    std::fprintf(stderr, "SynapseAI double: device failure: %s\n", why.c_str());
    if (kill_on_failure_)
        ::kill(::getpid(), SIGKILL);
    changed();
}

void Gaudi::hold(bool held)
{
    const Lock locked = lock();
    held_ = held;
    changed();
}

// --- memory ---

std::optional<uint64_t> Gaudi::allocate(const Lock &, uint64_t bytes)
{
    const auto address = hbm_->allocate(bytes);
    scal_.free = hbm_->free_bytes();
    return address;
}

bool Gaudi::free(const Lock &, uint64_t address)
{
    const bool freed = hbm_->free(address);
    scal_.free = hbm_->free_bytes();
    return freed;
}

synStatus Gaudi::map_host(Lock &lock, uint64_t host, uint64_t bytes)
{
    if (bytes == 0 || host + bytes < host || host_.contains(host))
        return synInvalidArgument;
    lock.unlock();
    const auto address = driver_->map_host({reinterpret_cast<std::byte *>(host), bytes});
    lock.lock();
    if (!address)
        return synFail;
    host_[host] = {.bytes = bytes, .address = *address};
    return synSuccess;
}

synStatus Gaudi::unmap_host(Lock &lock, uint64_t host)
{
    const auto at = host_.find(host);
    if (at == host_.end() || at->second.pages)
        return synInvalidArgument;
    const uint64_t address = at->second.address;
    host_.erase(at);
    lock.unlock();
    const bool unmapped = driver_->unmap(address).has_value();
    lock.lock();
    return unmapped ? synSuccess : synFail;
}

std::expected<void *, synStatus> Gaudi::host_malloc(Lock &lock, uint64_t bytes)
{
    lock.unlock();
    auto pages = Staging::create(*driver_, bytes);
    lock.lock();
    if (!pages)
        return std::unexpected(synOutOfHostMemory);
    void *const host = pages->bytes().data();
    const uint64_t address = pages->address();
    host_[reinterpret_cast<uintptr_t>(host)] = {.bytes = bytes, .address = address, .pages = std::move(pages)};
    return host;
}

synStatus Gaudi::host_free(const Lock &, const void *buffer)
{
    const auto at = host_.find(reinterpret_cast<uintptr_t>(buffer));
    if (at == host_.end() || !at->second.pages)
        return synInvalidArgument;
    host_.erase(at);
    return synSuccess;
}

std::optional<uint64_t> Gaudi::translate(const Lock &, uint64_t host, uint64_t bytes) const
{
    auto at = host_.upper_bound(host);
    if (at == host_.begin())
        return std::nullopt;
    --at;
    const uint64_t offset = host - at->first;
    if (offset > at->second.bytes || bytes > at->second.bytes - offset)
        return std::nullopt;
    return at->second.address + offset;
}

int Gaudi::give_back()
{
    return hbm_->give_back();
}

} // namespace hl::dbl
