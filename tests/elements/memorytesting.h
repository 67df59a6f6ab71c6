// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/pixelformat.h"
#include "device/device.h"
#include "gsthlallocator.h"
#include "gsthlptr.h"
#include "processcounts.h"

#include <gst/gst.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

// What the tests of frames and memories share. The witnesses here do not use what they judge: device bytes are read and
// written by hl::Device::copy() alone, dma-bufs are told apart by inode, leaks by the device's usage and /proc/self/fd.
namespace hltest {

// Starts GStreamer before the first test; gtest_main knows nothing of it.
class GstEnvironment : public testing::Environment {
public:
    void SetUp() override { gst_init(nullptr, nullptr); }
};
inline testing::Environment *const gst_environment = testing::AddGlobalTestEnvironment(new GstEnvironment);

// Sets an environment variable for a scope.
class Setenv {
public:
    Setenv(const char *name, const char *value) : name_(name) { ::setenv(name, value, 1); }
    ~Setenv() { ::unsetenv(name_); }
    Setenv(const Setenv &) = delete;
    Setenv &operator=(const Setenv &) = delete;

private:
    const char *name_;
};

inline std::shared_ptr<hl::Device> open_sim()
{
    auto device = hl::Device::open("sim");
    EXPECT_TRUE(device.has_value()) << device.error().details();
    return *device;
}

// Every format's name.
inline std::vector<std::string> all_formats()
{
    std::vector<std::string> out;
    for (size_t i = 0; i < hl::pixel_formats; ++i)
        out.emplace_back(hl::pixel_format_info(static_cast<hl::PixelFormat>(i)).name);
    return out;
}

using Bytes = std::vector<unsigned char>;

// `count` bytes that differ by seed and position.
inline Bytes pattern(size_t count, unsigned seed)
{
    Bytes out(count);
    uint32_t state = seed * 2654435761u + 12345u;
    for (auto &byte : out) {
        state = state * 1664525u + 1013904223u;
        byte = static_cast<unsigned char>(state >> 24);
    }
    return out;
}

inline void device_write(hl::Device &device, const hl::Memory &memory, const Bytes &bytes)
{
    auto pages = hl::OwnedMemory::allocate(device.shared_from_this(), bytes.size(), hl::Placement::Host);
    ASSERT_TRUE(pages.has_value());
    std::memcpy(device.host_span(pages->get())->data(), bytes.data(), bytes.size());
    const hl::CopyRegion region{.source = pages->get(), .target = memory, .row_bytes = bytes.size()};
    const auto moved = device.copy({&region, 1});
    ASSERT_TRUE(moved.has_value()) << moved.error().details();
}

inline Bytes device_read(hl::Device &device, const hl::Memory &memory, size_t count)
{
    auto pages = hl::OwnedMemory::allocate(device.shared_from_this(), count, hl::Placement::Host);
    EXPECT_TRUE(pages.has_value());
    const hl::CopyRegion region{.source = memory, .target = pages->get(), .row_bytes = count};
    const auto moved = device.copy({&region, 1});
    EXPECT_TRUE(moved.has_value()) << moved.error().details();
    const auto span = *device.host_span(pages->get());
    Bytes out(count);
    std::memcpy(out.data(), span.data(), count);
    return out;
}

// The dma-buf's identity, which no dup and no reopened number can fake.
inline ino_t inode(GstMemory *memory)
{
    struct stat st{};
    EXPECT_EQ(::fstat(gst_fd_memory_get_fd(memory), &st), 0);
    return st.st_ino;
}
inline ino_t inode(GstBuffer *buffer)
{
    return inode(gst_buffer_peek_memory(buffer, 0));
}

// Passes everything on to a real device but what a test wants to go wrong.
class DeviceWithFaults final : public hl::Device {
public:
    explicit DeviceWithFaults(std::shared_ptr<hl::Device> real) : real_(std::move(real)) {}

    std::function<hl::Result<bool>(int fd, hl::Deadline until)> on_wait_readers;

    std::optional<hl::DeviceInfo> told; // instead of the real one's

    const hl::DeviceInfo &info() const noexcept override { return told ? *told : real_->info(); }
    uint32_t generation() const noexcept override { return real_->generation(); }
    bool lost() const noexcept override { return real_->lost(); }
    hl::Status recover() override { return real_->recover(); }
    hl::Result<hl::Memory> allocate(uint64_t size, hl::Placement placement,
                                    hl::HostPages pages = hl::HostPages::Base) override
    {
        return real_->allocate(size, placement, pages);
    }
    hl::Status release(const hl::Memory &memory) override { return real_->release(memory); }
    hl::Result<hl::UniqueFd> export_dmabuf(const hl::Memory &memory) override { return real_->export_dmabuf(memory); }
    hl::Result<hl::Memory> resolve_dmabuf(int fd) override { return real_->resolve_dmabuf(fd); }
    hl::Result<std::span<std::byte>> host_span(const hl::Memory &memory) override { return real_->host_span(memory); }
    hl::Status submit(std::span<const hl::CopyRequest> requests, hl::CompletionListener &listener) override
    {
        return real_->submit(requests, listener);
    }
    hl::Status flush_inbound_writes() override { return real_->flush_inbound_writes(); }
    hl::Result<bool> wait_readers(int fd, hl::Deadline deadline) override
    {
        return on_wait_readers ? on_wait_readers(fd, deadline) : real_->wait_readers(fd, deadline);
    }
    hl::Result<std::shared_ptr<hl::Engine>> create_engine(const hl::Model &model,
                                                          const hl::EngineOptions &options) override
    {
        return real_->create_engine(model, options);
    }
    Usage usage() const override { return real_->usage(); }

private:
    std::shared_ptr<hl::Device> real_;
};

// A test on a simulated device that must leave no memory and no descriptor behind.
class DeviceTest : public testing::Test {
protected:
    void SetUp() override
    {
        device_ = open_sim();
        before_ = device_->usage();
        descriptors_ = open_descriptors();
    }
    void TearDown() override
    {
        const hl::Device::Usage after = device_->usage();
        EXPECT_EQ(after.device_bytes, before_.device_bytes);
        EXPECT_EQ(after.host_bytes, before_.host_bytes);
        EXPECT_EQ(after.exports_open, before_.exports_open);
        EXPECT_EQ(open_descriptors(), descriptors_);
    }

    std::shared_ptr<hl::Device> device_;
    hl::Device::Usage before_;
    size_t descriptors_ = 0;
};

} // namespace hltest
