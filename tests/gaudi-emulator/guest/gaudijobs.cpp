// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest/gaudijobs.h"

#include <drm/habanalabs_accel.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace gaudiemu::guest {
namespace {

Pages make_pages(size_t size)
{
    // Shared: of a private mapping the driver pins copies.
    void *const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? Pages() : Pages(static_cast<std::byte *>(memory), Unmap{size});
}

} // namespace

int GaudiJobs::open()
{
    host_ = make_pages(host_size);
    if (!host_)
        return ENOMEM;
    if (const int error = device_.open())
        return error;
    if (const int error = device_.chip(chip_))
        return error;
    if (const int error = device_.map_host(host_.get(), host_size, host_address_))
        return error;
    return first_gaudi() ? open_first_gaudi() : open_gaudi2();
}

// The driver hands no HBM out: it is the user's (common/memory.c alloc_device_memory()).
int GaudiJobs::open_first_gaudi()
{
    hbm_address_ = chip_.memory;
    if (const int error = device_.create_buffer(buffer_size, buffer_address_))
        return error;
    void *const memory = device_.map_buffer(buffer_address_, buffer_size);
    if (memory == MAP_FAILED)
        return errno;
    buffer_ = Pages(static_cast<std::byte *>(memory), Unmap{buffer_size});
    return 0;
}

int GaudiJobs::open_gaudi2()
{
    buffer_ = make_pages(buffer_size);
    if (!buffer_)
        return ENOMEM;
    if (const int error = device_.map_host(buffer_.get(), buffer_size, buffer_address_))
        return error;
    if (const int error = device_.allocate(4096, handle_))
        return error;
    return device_.map(handle_, hbm_address_);
}

void GaudiJobs::close()
{
    if (first_gaudi())
        buffer_.reset(); // the mapping is of the device, and keeps it
    device_.close();
}

chip::Packets GaudiJobs::packets() const
{
    return chip::Packets(first_gaudi() ? chip::Packets::linear : 0);
}

int GaudiJobs::export_hbm(uint64_t offset, uint64_t size, hl::UniqueFd &dmabuf) const
{
    // gaudi.c has no virtual HBM: common/memory.c export_dmabuf() then takes no offset.
    return first_gaudi() ? device_.export_dmabuf(hbm_address_ + offset, size, 0, dmabuf)
                         : device_.export_dmabuf(hbm_address_, size, offset, dmabuf);
}

int GaudiJobs::send(uint32_t queue, const chip::Packets &packets, uint64_t &sequence, size_t at)
{
    if (first_gaudi()) { // copied at once, and always from the start
        std::memcpy(buffer_.get(), packets.bytes().data(), packets.size());
        return device_.submit_buffer(queue, buffer_address_, packets.size(), sequence);
    }
    std::memcpy(buffer_.get() + at, packets.bytes().data(), packets.size());
    return device_.submit(queue, buffer_address_ + at, packets.size(), sequence);
}

GaudiJobs::Outcome GaudiJobs::run(uint32_t queue, const chip::Packets &packets, unsigned seconds)
{
    uint64_t sequence = 0;
    if (const int error = send(queue, packets, sequence))
        return {error, HL_WAIT_CS_STATUS_BUSY};
    uint32_t outcome = HL_WAIT_CS_STATUS_BUSY;
    const int error = device_.wait(sequence, uint64_t{seconds} * 1'000'000, outcome);
    return {error, static_cast<int>(outcome)};
}

GaudiJobs::Outcome GaudiJobs::in_child(const MakePackets &make, unsigned seconds)
{
    Outcome told{0, -1};
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0)
        return {errno, -1};
    const pid_t child = fork();
    if (child == 0) {
        GaudiJobs jobs;
        Outcome mine{jobs.open(), HL_WAIT_CS_STATUS_BUSY};
        if (!mine.error)
            mine = jobs.run(queue_down, make(jobs), seconds);
        _exit(write(ends[1], &mine, sizeof mine) == sizeof mine ? 0 : 1);
    }
    ::close(ends[1]);
    if (read(ends[0], &told, sizeof told) != sizeof told)
        told = {0, -1};
    ::close(ends[0]);
    waitpid(child, nullptr, 0);
    return told;
}

std::string device_attribute(const std::string &name)
{
    std::ifstream file("/sys/class/accel/accel0/device/" + name);
    std::string line;
    std::getline(file, line);
    return line;
}

int hard_resets()
{
    const auto text = device_attribute("hard_reset_cnt");
    return text.empty() ? -1 : std::stoi(text);
}

NextReset::NextReset()
{
    EXPECT_GE(before_, 0) << "hard_reset_cnt cannot be read: any count would be a reset";
}

bool NextReset::wait(std::chrono::seconds bound)
{
    return returns_.wait_until([&] { return hard_resets() > before_ && device_attribute("status") == "Operational"; },
                               bound);
}

bool kernel_log_has(const std::string &words)
{
    const std::unique_ptr<FILE, int (*)(FILE *)> log(popen("dmesg", "r"), pclose);
    std::array<char, 4096> line{};
    while (log && std::fgets(line.data(), line.size(), log.get()))
        if (std::strstr(line.data(), words.c_str()))
            return true;
    return false;
}

} // namespace gaudiemu::guest
