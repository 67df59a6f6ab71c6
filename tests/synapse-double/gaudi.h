// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/ioctldriver.h"
#include "device/devicespec.h"
#include "dmacopier.h"
#include "hbmpool.h"
#include "scalabi.h"
#include "synapseabi.h"

#include <condition_variable>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace hl::dbl {

// The acquired device: the driver's node, all HBM, what host memory is mapped, and whether it has failed. One mutex
// guards it and all that its streams share; functions taking a Lock want it held.
class Gaudi {
public:
    using Lock = std::unique_lock<std::mutex>;

    // How the device was asked for, which decides what a node that does not open is called (G3SW osal_linux.cpp
    // openComputeFD).
    enum class By : uint8_t { Module, Pci, Type };

    // Waits for the end of a reset, as the runtime does (G3SW physical_device.cpp waitForDeviceOperational). Errors:
    // NoDeviceFound (ByPci: Fail), DeviceTypeMismatch, OutOfDeviceMemory, Fail.
    [[nodiscard]] static std::expected<std::shared_ptr<Gaudi>, synStatus> acquire(const PciGaudi &pci, By by,
                                                                                  bool kill_on_failure);
    Gaudi(const Gaudi &) = delete;
    Gaudi &operator=(const Gaudi &) = delete;
    // No stream of it lives any more.
    ~Gaudi();

    [[nodiscard]] Lock lock() { return Lock(mutex_); }
    // What a waiter may wait for has come about.
    void changed() noexcept { changed_.notify_all(); }
    [[nodiscard]] std::condition_variable &change() noexcept { return changed_; }

    [[nodiscard]] const PciGaudi &pci() const noexcept { return pci_; }
    [[nodiscard]] const habanalabs::uapi::HwIpInfo &hw() const noexcept { return hw_; }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] kernel::Driver &driver() noexcept { return *driver_; }

    [[nodiscard]] bool failed(const Lock &) const noexcept { return failed_; }
    // The device is given up. The first cause is told on stderr, or by SIGKILL.
    void fail(const Lock &, const std::string &why);
    // synapseDoubleHold().
    [[nodiscard]] bool held(const Lock &) const noexcept { return held_; }
    void hold(bool held);

    [[nodiscard]] std::optional<uint64_t> allocate(const Lock &, uint64_t bytes);
    [[nodiscard]] bool free(const Lock &, uint64_t address);
    [[nodiscard]] const HbmPool &hbm(const Lock &) const noexcept { return *hbm_; }

    [[nodiscard]] synStatus map_host(Lock &lock, uint64_t host, uint64_t bytes);
    [[nodiscard]] synStatus unmap_host(Lock &lock, uint64_t host);
    [[nodiscard]] std::expected<void *, synStatus> host_malloc(Lock &lock, uint64_t bytes);
    [[nodiscard]] synStatus host_free(const Lock &, const void *buffer);
    // The chip's address of host memory that is mapped.
    [[nodiscard]] std::optional<uint64_t> translate(const Lock &, uint64_t host, uint64_t bytes) const;

    // Gives HBM back to the driver. The errno: EINVAL while a dma-buf is open.
    [[nodiscard]] int give_back();

private:
    struct HostRange {
        uint64_t bytes = 0;
        uint64_t address = 0;             // the chip's
        std::unique_ptr<Staging> pages{}; // of host_malloc
    };

    Gaudi(const PciGaudi &pci, int fd, std::unique_ptr<kernel::Driver> driver, const habanalabs::uapi::HwIpInfo &hw,
          bool kill_on_failure);
    [[nodiscard]] bool listen();
    void watch();

    std::mutex mutex_;
    std::condition_variable changed_;
    const PciGaudi pci_;
    const int fd_; // driver_'s
    const std::unique_ptr<kernel::Driver> driver_;
    const habanalabs::uapi::HwIpInfo hw_;
    const bool kill_on_failure_;
    bool failed_ = false, held_ = false;
    std::unique_ptr<HbmPool> hbm_;
    ScalDoublePool scal_;
    std::map<uint64_t, HostRange> host_; // by host address
    UniqueFd events_, stop_;             // eventfds: the driver's, and the watcher's end
    std::thread watcher_;
};

} // namespace hl::dbl
