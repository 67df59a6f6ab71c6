// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/driver.h"
#include "backends/kernel/packets.h"
#include "core/fileid.h"

#include <gtest/gtest.h>

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace hl::test {

// A played Gaudi and its driver: parses command buffers and moves bytes between the addresses that were mapped, and
// refuses what the driver refuses. Outlives the drivers made of it. Copies are done when they are submitted, or, while
// it is frozen, when it thaws.
class FakeGaudi {
public:
    static constexpr uint64_t page = 768ull << 20;
    static constexpr uint64_t pages = 4;
    static constexpr uint64_t hbm_base = 0x1001500000000000; // Gaudi2's virtual range
    static constexpr uint64_t gaudi_base = 0x20000000;

    explicit FakeGaudi(kernel::ChipKind chip = kernel::ChipKind::Gaudi2) : kind(chip) {}

    void freeze()
    {
        const std::lock_guard lock(mutex);
        frozen = true;
    }
    void thaw()
    {
        const std::lock_guard lock(mutex);
        frozen = false;
        for (auto &[sequence, buffer] : waiting)
            run(sequence, buffer);
        waiting.clear();
        changed.notify_all();
    }
    // As a reset with a registered eventfd: waits abort, calls are refused, the event is told.
    void reset_with_event()
    {
        const std::lock_guard lock(mutex);
        gone = true;
        events = 1 << 2;
        waiting.clear();
        changed.notify_all();
        if (eventfd >= 0)
            (void)::eventfd_write(eventfd, 1);
    }
    void come_back()
    {
        const std::lock_guard lock(mutex);
        gone = false;
        events = 0;
    }

    std::byte *at(uint64_t address, uint64_t bytes)
    {
        for (auto &[base, span] : mapped)
            if (address >= base && address - base < span.size() && bytes <= span.size() - (address - base))
                return span.data() + (address - base);
        return nullptr;
    }
    void run(uint64_t sequence, const std::vector<std::byte> &buffer)
    {
        size_t offset = 0;
        while (offset < buffer.size()) {
            uint32_t size = 0, control = 0;
            std::memcpy(&size, &buffer[offset], 4);
            std::memcpy(&control, &buffer[offset + 4], 4);
            const uint32_t opcode = control >> 24 & 0x1f;
            if (opcode == 0xA) {
                offset += 8;
                continue;
            }
            uint64_t source = 0, target = 0;
            std::memcpy(&source, &buffer[offset + 8], 8);
            std::memcpy(&target, &buffer[offset + 16], 8);
            std::byte *const from = at(source, size), *const to = at(target, size);
            ASSERT_EQ(opcode, 9u);
            ASSERT_TRUE(from && to) << std::hex << source << " " << target << " " << size;
            std::memmove(to, from, size);
            ++packets;
            offset += 24;
        }
        done.push_back(sequence);
    }

    const kernel::ChipKind kind;
    std::mutex mutex;
    std::condition_variable changed;
    std::map<uint64_t, std::span<std::byte>> mapped; // device address -> bytes
    std::map<uint64_t, std::vector<std::byte>> hbm;  // handle -> bytes (Gaudi: the whole, handle 0)
    std::map<uint64_t, uint64_t> hbm_address;        // handle -> where it is mapped
    std::map<uint64_t, std::vector<std::byte>> kernel_buffers;
    std::vector<FileId> exports;
    std::vector<std::pair<uint64_t, std::vector<std::byte>>> waiting;
    std::vector<uint64_t> done;
    std::vector<std::string> calls; // that take things down
    size_t room = 64;               // submissions under way that it takes
    uint64_t last_sequence = 0, next_host = 0xFFF0000000000000, next_handle = 1;
    uint64_t packets = 0, submissions = 0, flushes = 0, refused = 0;
    uint64_t last_export_address = 0, last_export_offset = 0;
    uint32_t last_queue = 0;
    int open_error = 0;                  // of the next opens
    int pin_error = 0, export_error = 0; // of all
    int opens = 0, closes = 0;
    int eventfd = -1;
    uint64_t events = 0;
    bool frozen = false, gone = false;
};

class FakeDriver : public kernel::Driver {
public:
    explicit FakeDriver(std::shared_ptr<FakeGaudi> gaudi) : g_(std::move(gaudi))
    {
        const std::lock_guard lock(g_->mutex);
        ++g_->opens;
        if (g_->kind == kernel::ChipKind::Gaudi) {
            g_->hbm[0].resize(64 << 20);
            g_->mapped[FakeGaudi::gaudi_base] = g_->hbm[0];
        }
    }
    ~FakeDriver() override
    {
        const std::lock_guard lock(g_->mutex);
        ++g_->closes;
        g_->calls.emplace_back("close");
        g_->mapped.clear();
        g_->hbm.clear();
        g_->hbm_address.clear();
        g_->eventfd = -1;
    }

    kernel::Sys<kernel::uapi::HwIpInfo> hw_info() override
    {
        kernel::uapi::HwIpInfo hw{};
        hw.dram_enabled = 1;
        const bool gaudi = g_->kind == kernel::ChipKind::Gaudi;
        hw.dram_base_address = gaudi ? FakeGaudi::gaudi_base : FakeGaudi::hbm_base;
        hw.dram_size = gaudi ? 64 << 20 : FakeGaudi::pages * FakeGaudi::page;
        hw.dram_page_size = gaudi ? 2 << 20 : FakeGaudi::page;
        return hw;
    }
    kernel::Sys<uint32_t> status() override
    {
        const std::lock_guard lock(g_->mutex);
        return g_->gone ? kernel::uapi::status_in_reset : kernel::uapi::status_operational;
    }
    kernel::Sys<void> register_events(int eventfd) override
    {
        const std::lock_guard lock(g_->mutex);
        g_->eventfd = eventfd;
        return {};
    }
    kernel::Sys<uint64_t> take_events() override
    {
        const std::lock_guard lock(g_->mutex);
        return std::exchange(g_->events, 0);
    }
    kernel::Sys<uint64_t> allocate(uint64_t bytes) override
    {
        const std::lock_guard lock(g_->mutex);
        uint64_t used = 0;
        for (const auto &[handle, memory] : g_->hbm)
            used += memory_pages_.at(handle) * FakeGaudi::page;
        EXPECT_EQ(bytes % FakeGaudi::page, 0u);
        if (used + bytes > FakeGaudi::pages * FakeGaudi::page)
            return std::unexpected(ENOMEM);
        memory_pages_[g_->next_handle] = bytes / FakeGaudi::page;
        g_->hbm[g_->next_handle].resize(16 << 20); // the front of it is enough
        return g_->next_handle++;
    }
    kernel::Sys<void> free(uint64_t handle) override
    {
        const std::lock_guard lock(g_->mutex);
        g_->calls.push_back("free");
        if (g_->hbm_address.contains(handle) || g_->hbm.erase(handle) == 0)
            return std::unexpected(EINVAL);
        return {};
    }
    kernel::Sys<uint64_t> map_device(uint64_t handle) override
    {
        const std::lock_guard lock(g_->mutex);
        const uint64_t address = FakeGaudi::hbm_base + handle * 0x100000000;
        g_->hbm_address[handle] = address;
        g_->mapped[address] = g_->hbm.at(handle);
        return address;
    }
    kernel::Sys<uint64_t> map_host(std::span<std::byte> pages) override
    {
        const std::lock_guard lock(g_->mutex);
        if (g_->gone)
            return std::unexpected(EBUSY);
        if (g_->pin_error)
            return std::unexpected(g_->pin_error);
        const uint64_t address = g_->next_host;
        g_->next_host += pages.size() + 4096;
        g_->mapped[address] = pages;
        return address;
    }
    kernel::Sys<void> unmap(uint64_t address) override
    {
        const std::lock_guard lock(g_->mutex);
        if (g_->gone)
            return std::unexpected(EBUSY);
        g_->calls.push_back(address >= 0xFFF0000000000000 ? "unmap host" : "unmap");
        if (g_->mapped.erase(address) == 0)
            return std::unexpected(EINVAL);
        std::erase_if(g_->hbm_address, [address](const auto &entry) { return entry.second == address; });
        return {};
    }
    kernel::Sys<UniqueFd> export_memory(uint64_t address, uint64_t bytes, uint64_t offset) override
    {
        const std::lock_guard lock(g_->mutex);
        g_->last_export_address = address;
        g_->last_export_offset = offset;
        EXPECT_EQ(bytes % 4096, 0u);
        UniqueFd fd(g_->export_error ? -1 : ::memfd_create("dmabuf", MFD_CLOEXEC));
        if (!fd)
            return std::unexpected(g_->export_error ? g_->export_error : errno);
        g_->exports.push_back(*file_id(fd.get()));
        return fd;
    }
    // The dups of this process.
    std::optional<uint64_t> open_files(int dmabuf) override
    {
        const auto wanted = file_id(dmabuf);
        uint64_t count = 0;
        for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd"))
            count += file_id(std::stoi(entry.path().filename().string())) == wanted;
        return count;
    }
    kernel::Sys<kernel::KernelBuffer> create_buffer(uint32_t bytes) override
    {
        const std::lock_guard lock(g_->mutex);
        auto &buffer = g_->kernel_buffers[g_->next_handle];
        buffer.resize(bytes);
        return kernel::KernelBuffer{.handle = g_->next_handle++, .bytes = buffer};
    }
    void destroy_buffer(const kernel::KernelBuffer &buffer) noexcept override
    {
        const std::lock_guard lock(g_->mutex);
        g_->kernel_buffers.erase(buffer.handle);
    }
    kernel::Sys<uint64_t> submit(uint32_t queue, const kernel::CommandBuffer &buffer, std::chrono::seconds) override
    {
        const std::lock_guard lock(g_->mutex);
        if (g_->gone)
            return std::unexpected(EBUSY);
        if (g_->waiting.size() >= g_->room) {
            ++g_->refused;
            return std::unexpected(EAGAIN);
        }
        EXPECT_EQ(buffer.user, g_->kind == kernel::ChipKind::Gaudi2);
        const std::byte *const bytes =
            buffer.user ? g_->at(buffer.cb, buffer.bytes) : g_->kernel_buffers.at(buffer.cb).data();
        EXPECT_NE(bytes, nullptr);
        const std::vector<std::byte> copy(bytes, bytes + buffer.bytes);
        g_->last_queue = queue;
        ++g_->submissions;
        ++g_->last_sequence;
        if (g_->frozen)
            g_->waiting.emplace_back(g_->last_sequence, copy);
        else
            g_->run(g_->last_sequence, copy);
        g_->changed.notify_all();
        return g_->last_sequence;
    }
    kernel::Sys<bool> wait(uint64_t sequence, std::chrono::microseconds limit) override
    {
        std::unique_lock lock(g_->mutex);
        const auto ended = [&] { return g_->gone || std::ranges::contains(g_->done, sequence); };
        const bool in_time = g_->changed.wait_for(lock, limit, ended);
        if (g_->gone)
            return std::unexpected(EIO);
        return in_time;
    }
    kernel::Sys<void> flush_inbound_writes() override
    {
        const std::lock_guard lock(g_->mutex);
        if (g_->gone)
            return std::unexpected(EBUSY);
        ++g_->flushes;
        return {};
    }

private:
    const std::shared_ptr<FakeGaudi> g_;
    std::map<uint64_t, uint64_t> memory_pages_;
};

} // namespace hl::test
