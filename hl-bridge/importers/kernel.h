// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hl {

// The kernel as the probes see a DRM node, through libdrm. Numbers are 0 or -errno.
class DrmNode {
public:
    virtual ~DrmNode() = default;

    struct Version {
        std::string driver;
        std::string card;
        std::string bus;
    };
    // Empty once the device is gone.
    [[nodiscard]] virtual std::optional<Version> version() = 0;
    // DRM fourccs that some plane shows; empty without planes. Cursors are left out.
    [[nodiscard]] virtual std::vector<uint32_t> plane_formats() = 0;

    struct Framebuffer {
        uint32_t fourcc = 0, width = 0, height = 0, planes = 0;
        uint32_t pitch[4] = {}, offset[4] = {};
    };
    [[nodiscard]] virtual int import(int dmabuf, uint32_t &handle) = 0;
    virtual void close_handle(uint32_t handle) = 0;
    // All planes in one memory.
    [[nodiscard]] virtual int add_framebuffer(const Framebuffer &wanted, uint32_t handle, uint32_t &id) = 0;
    virtual void remove_framebuffer(uint32_t id) = 0;
    // Shows a framebuffer on the first connected display that has a mode of its size, until the driver says it does,
    // and brings back what was shown before. -ENOENT: no such display; -EACCES, -EBUSY: somebody else is the master,
    // or the display is dark; -ECANCELED: shown, but what was there before could not be brought back.
    [[nodiscard]] virtual int show(const Framebuffer &made, uint32_t id) = 0;
};

// What the import probes ask of the kernel, so that a test can play one that answers as it likes. Thread safe.
class Kernel {
public:
    virtual ~Kernel() = default;

    // The running one.
    [[nodiscard]] static Kernel &running();

    // What kind of file a node is: V4L2 or DRM by its major number (Documentation/admin-guide/devices.txt).
    enum class NodeType : uint8_t { Missing, NoDevice, Video, Drm, OtherDevice };
    [[nodiscard]] virtual NodeType type_of(const std::string &node) = 0;

    // Opens a V4L2 node for reading and writing, without blocking. Invalid, and `error` set, where that fails.
    [[nodiscard]] virtual UniqueFd open_video(const std::string &node, int &error) = 0;
    // One V4L2 ioctl: 0 or -errno; retries EINTR.
    [[nodiscard]] virtual int ioctl(int fd, unsigned long request, void *argument) = 0;

    // Waits for `events` of poll(2) on a V4L2 node: 0, -ETIMEDOUT, -EIO where the queue has failed, or poll's -errno.
    [[nodiscard]] virtual int wait(int fd, short events, std::chrono::milliseconds patience) = 0;

    // Opens a DRM node and does not stay its master. Null, and `error` set, where that fails.
    [[nodiscard]] virtual std::unique_ptr<DrmNode> open_drm(const std::string &node, int &error) = 0;
};

} // namespace hl
