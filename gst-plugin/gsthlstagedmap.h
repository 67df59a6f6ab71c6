// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/device.h"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

// The CPU maps of one device frame: a download into pinned pages at the first, an upload after the last if any was for
// writing. Nested maps share the pages. While a write map is open the device must not use the frame. Thread safe; a map
// blocks for its DMA.
class GstHlStagedMap {
public:
    // A DMA that takes longer than this is an error.
    static constexpr std::chrono::seconds timeout{10};

    // Gives pinned pages of at least that many bytes.
    using Take = std::function<hl::Result<hl::OwnedMemory>(uint64_t bytes)>;
    // Takes them back.
    using Give = std::function<void(hl::OwnedMemory pages)>;
    // Told of each DMA.
    using Moved = std::function<void(uint64_t bytes)>;

    // The CPU's view of `frame`. Only a map for writing alone of a frame that nobody has written skips the download.
    // Errors: MemoryHost, MemoryStale, CopyFailed, CopyTimeout, DeviceLost; MemoryRange if a nested map is larger.
    [[nodiscard]] hl::Result<std::byte *> map(const std::shared_ptr<hl::Device> &device, const hl::Memory &frame,
                                              bool read, bool write, const Take &take, const Moved &downloaded);
    // Errors: as map(); the frame is then broken and refuses device use.
    [[nodiscard]] hl::Status unmap(const std::shared_ptr<hl::Device> &device, const Give &give, const Moved &uploaded);

    // Whether the device may use the frame. Errors: MemoryMapped; what broke it.
    [[nodiscard]] hl::Status usable();
    [[nodiscard]] bool broken();
    [[nodiscard]] bool open();
    // Our DMA engine filled the frame.
    void device_written();
    // Another PCI device may have filled it: its content in device memory is meaningful.
    void peer_written();
    // The frame begins a new life: what is in it counts for nobody until it is written.
    void handed_out();
    // Whether a CPU map or our DMA engine has filled it in this life.
    [[nodiscard]] bool filled_here();

private:
    std::mutex mutex_;
    unsigned maps_ = 0;
    bool wrote_ = false;   // one of the open maps is for writing
    bool content_ = false; // device memory was written, or may have been
    bool filled_here_ = false;
    hl::Memory frame_; // the staged part
    hl::OwnedMemory pages_;
    std::byte *data_ = nullptr;
    std::optional<hl::Error> broken_;
};
