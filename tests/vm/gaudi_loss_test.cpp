// SPDX-License-Identifier: LGPL-2.1-or-later

// A Device over the kernel's driver, or over SynapseAI's double on it, whose chip fails. The machine's orders
// (meson.build; the grammar is in tests/gaudi-emulator/chip/chipfaults.h) count the copies of all tests here, so their
// order and number matter.
#include "../unit/simtest.h"
#include "device/device.h"
#include "gaudiway.h"
#include "rolechild.h"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <format>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using hl::ErrorCode;
using hl::Placement;
using hl::test::Child;
using hl::test::Owned;
using hl::test::Record;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t bytes = 65536;

// Two copies: down and up.
void works(const std::shared_ptr<hl::Device> &device, unsigned seed)
{
    const Owned host{device, bytes, Placement::Host}, back{device, bytes, Placement::Host};
    const Owned hbm{device, bytes, Placement::Device};
    hl::test::fill(device, *host, seed);
    ASSERT_OK(hl::test::copy(device, *host, *hbm, bytes));
    ASSERT_OK(hl::test::copy(device, *hbm, *back, bytes));
    EXPECT_TRUE(hl::test::holds(device, *back, seed));
}

std::chrono::seconds since(hl::Clock::time_point begin)
{
    return std::chrono::duration_cast<std::chrono::seconds>(hl::Clock::now() - begin);
}

struct Frame {
    std::shared_ptr<hl::Device> device;
    hl::Memory host, hbm;
    hl::UniqueFd fd;

    explicit Frame(std::shared_ptr<hl::Device> on) : device(std::move(on))
    {
        host = device->allocate(bytes, Placement::Host).value();
        hbm = device->allocate(bytes, Placement::Device).value();
        fd = std::move(device->export_dmabuf(hbm).value());
    }
    [[nodiscard]] hl::Status copy() const { return hl::test::copy(device, host, hbm, bytes); }
    // The driver's events race with the completion of the copy that brings them.
    [[nodiscard]] hl::Status copy_until_it_fails() const
    {
        hl::Status status;
        while (status)
            status = copy();
        return status;
    }
};

std::shared_ptr<hl::Device> open_gaudi()
{
    auto device = hl::Device::open(hl::test::gaudi_spec);
    EXPECT_OK(device);
    return device ? *device : nullptr;
}

} // namespace

// Copy 3 brings an error event upon which the driver resets the chip.
TEST(GaudiLoss, AnErrorEventEndsTheGenerationAndTheProcessGoesOn)
{
    const auto device = open_gaudi();
    ASSERT_NE(device, nullptr);
    works(device, 1);
    Frame frame(device);
    const auto begin = hl::Clock::now();
    EXPECT_CODE(frame.copy_until_it_fails(), ErrorCode::DeviceLost);
    EXPECT_LT(since(begin), 10s);
    EXPECT_TRUE(device->lost());
    EXPECT_EQ(device->generation(), 2u);
    EXPECT_CODE(device->resolve_dmabuf(frame.fd.get()), ErrorCode::MemoryStale);
    EXPECT_EQ(device->usage().exports_open, 0u);
    EXPECT_EQ(device->usage().device_bytes, 0u);
    frame.fd.reset(); // the last that keeps the device
    ASSERT_OK(device->recover());
    EXPECT_LT(since(begin), 30s);
    EXPECT_OK(device->release(frame.host));
    EXPECT_OK(device->release(frame.hbm));
    works(device, 2);
}

// Copy 300 never completes, with others behind it.
TEST(GaudiLoss, ACopyThatNeverCompletesEndsAllInBoundedTime)
{
    const auto device = open_gaudi();
    ASSERT_NE(device, nullptr);
    Frame frame(device);
    const hl::CopyRequest one = hl::test::request(frame.host, frame.hbm);
    const std::vector<hl::CopyRequest> batch(50, one);
    for (int i = 0; i < 10 && !device->lost(); ++i) {
        Record record;
        const auto begin = hl::Clock::now();
        ASSERT_OK(device->submit(batch, record));
        const auto ends = record.wait(batch.size());
        EXPECT_LT(since(begin), 12s); // 5 s until the driver gives up, and the reset's begin
        const auto struck = std::ranges::find_if(ends, [](const hl::Completion &end) { return !end.status; });
        for (auto at = struck; at != ends.end(); ++at)
            EXPECT_CODE(at->status, ErrorCode::DeviceLost);
    }
    ASSERT_TRUE(device->lost());
    EXPECT_EQ(device->usage().requests_pending, 0u);
    frame.fd.reset();
    ASSERT_OK(device->recover());
    EXPECT_OK(device->release(frame.host));
    works(device, 3);
}

// Copy 400 has an error event again, and another process holds a frame. The driver waits 30 s for it
// (HL_DEVICE_RELEASE_WATCHDOG_TIMEOUT_SEC), then ends the owner, though it has long let go, and resets the chip once
// the holder has gone too (device.c device_release_watchdog_func(), device_kill_open_processes()).
TEST(GaudiLoss, AHolderElsewhereCostsTheOwnerItsLifeAndIsNamedToWhoeverOpensNext)
{
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()), 0);
    hl::UniqueFd ours(ends[0]), theirs(ends[1]);
    Child holder(std::format("hold:{}", theirs.get()));
    Child owner(std::format("own:{}", ours.get()));
    ours.reset();
    theirs.reset();
    ASSERT_EQ(holder.line(), "holding");
    ASSERT_EQ(owner.line(), "lost");
    const auto begin = hl::Clock::now();
    const auto expect_busy = [&](std::string_view while_what) {
        const auto asked = hl::Clock::now();
        const auto busy = hl::Device::open(hl::test::gaudi_spec);
        ASSERT_CODE(busy, ErrorCode::DeviceBusy);
        EXPECT_NE(busy.error().cause.find(std::format("process {}", holder.pid())), std::string::npos)
            << busy.error().cause;
        EXPECT_NE(busy.error().cause.find(while_what), std::string::npos) << busy.error().cause;
        EXPECT_LT(since(asked), 8s);
    };
    expect_busy("is owned by");
    const int ended = owner.wait();
    EXPECT_TRUE(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL) << ended;
    EXPECT_GE(since(begin), 25s) << "before the driver's patience was over";
    EXPECT_LT(since(begin), 45s);
    expect_busy("waits in its reset");
    holder.kill(SIGKILL);
    (void)holder.wait();
    const auto device = open_gaudi();
    ASSERT_NE(device, nullptr);
    works(device, 4);
}

// Copy 500 never completes, and nobody waits for it: the object goes.
TEST(GaudiLoss, ADeviceWithACopyThatNeverCompletesCanBeClosed)
{
    auto device = open_gaudi();
    ASSERT_NE(device, nullptr);
    hl::CopyRequest one;
    {
        Frame frame(device);
        one = hl::test::request(frame.host, frame.hbm);
    }
    hl::CompletionWaiter waiter;
    std::optional<hl::Status> ended;
    for (int i = 0; i < 200; ++i) {
        ASSERT_OK(device->submit({&one, 1}, waiter));
        ended = waiter.wait(hl::Clock::now() + 1s);
        if (!ended)
            break;
        ASSERT_OK(*ended);
    }
    ASSERT_FALSE(ended) << "no copy was stuck";
    const auto begin = hl::Clock::now();
    device.reset();
    // The double lets go when the driver has given up: timeout_locked, 30 s.
    EXPECT_LT(since(begin), hl::test::through_synapse ? 45s : 20s);
    ended = waiter.wait(hl::Clock::now());
    ASSERT_TRUE(ended);
    EXPECT_CODE(*ended, ErrorCode::DeviceLost);
    device = open_gaudi();
    ASSERT_NE(device, nullptr);
    works(device, 5);
}

// Copy 600 finds the chip gone from the bus. Nothing works from here on.
TEST(GaudiLoss, AChipThatFellOffTheBusIsAnErrorAndNoHang)
{
    auto device = open_gaudi();
    ASSERT_NE(device, nullptr);
    Frame frame(device);
    const auto begin = hl::Clock::now();
    EXPECT_CODE(frame.copy_until_it_fails(), ErrorCode::DeviceLost);
    EXPECT_LT(since(begin), 20s);
    frame.fd.reset();
    const auto again = device->recover();
    ASSERT_FALSE(again);
    EXPECT_TRUE(device->lost());
    EXPECT_LT(since(begin), 60s);
    EXPECT_OK(device->release(frame.host));
}

namespace {

void send_fd(int socket, int fd)
{
    char byte = 0;
    iovec part{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.data(), .msg_controllen = control.size()};
    cmsghdr *const header = CMSG_FIRSTHDR(&message);
    *header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    (void)::sendmsg(socket, &message, 0);
}

// Takes the frame that the owner sends, and keeps it.
int role_hold(int socket)
{
    char byte = 0;
    iovec part{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.data(), .msg_controllen = control.size()};
    if (::recvmsg(socket, &message, 0) != 1 || message.msg_controllen == 0)
        return 1;
    std::cout << "holding" << std::endl;
    ::pause();
    return 0;
}

int role_own(int socket)
{
    auto device = hl::Device::open(hl::test::gaudi_spec);
    if (!device)
        return 1;
    {
        Frame frame(*device);
        send_fd(socket, frame.fd.get());
        if (frame.copy_until_it_fails().error().code != ErrorCode::DeviceLost)
            return 2;
    }
    std::cout << "lost" << std::endl;
    ::pause();
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    hl::test::find_double();
    const std::string role = argc > 1 ? argv[1] : "";
    if (role.starts_with("hold:"))
        return role_hold(std::stoi(role.substr(5)));
    if (role.starts_with("own:"))
        return role_own(std::stoi(role.substr(4)));
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
