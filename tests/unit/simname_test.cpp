// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/namelock.h"
#include "device/device.h"
#include "fdkeeper.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <format>
#include <string>

using hl::ErrorCode;

namespace {

std::string own_name()
{
    return std::format("sim:test-{}", ::getpid());
}

// This test program again, as another process that opens $HL_TEST_NAME and holds it until it is killed.
class Holder {
public:
    explicit Holder(const std::string &spec)
    {
        std::array<int, 2> out{};
        EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
        const hl::test::Setting name("HL_TEST_NAME", spec.c_str());
        pid_ = ::fork();
        if (pid_ == 0) {
            ::dup2(out[1], 1);
            ::execl("/proc/self/exe", "simname_test", "--gtest_filter=SimNameChild.DISABLED_Holds",
                    "--gtest_also_run_disabled_tests", nullptr);
            ::_exit(127);
        }
        ::close(out[1]);
        // Its first words are gtest's; the line "held" comes once the device is open.
        FILE *words = ::fdopen(out[0], "r");
        std::array<char, 256> line{};
        while (!held_ && std::fgets(line.data(), line.size(), words))
            held_ = std::string_view(line.data()) == "held\n";
        std::fclose(words);
    }
    Holder(const Holder &) = delete;
    Holder &operator=(const Holder &) = delete;
    ~Holder() { kill(); }

    void kill()
    {
        if (pid_ <= 0)
            return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
    [[nodiscard]] bool held() const { return held_; }
    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    pid_t pid_ = 0;
    bool held_ = false;
};

} // namespace

// Run by Holder in a process of its own.
TEST(SimNameChild, DISABLED_Holds)
{
    const char *name = std::getenv("HL_TEST_NAME");
    ASSERT_NE(name, nullptr);
    const auto device = hl::Device::open(name);
    ASSERT_OK(device);
    std::puts("held");
    std::fflush(stdout);
    for (;;)
        ::pause();
}

TEST(SimName, BelongsToOneProcess)
{
    const std::string spec = own_name();
    Holder holder(spec);
    ASSERT_TRUE(holder.held());
    const auto refused = hl::Device::open(spec);
    ASSERT_CODE(refused, ErrorCode::DeviceBusy);
    EXPECT_NE(refused.error().cause.find(std::format("is owned by process {} (", holder.pid())), std::string::npos)
        << refused.error().cause;
    EXPECT_NE(refused.error().cause.find("or held by frames that were exported from it"), std::string::npos);
    EXPECT_EQ(refused.error().device, spec);
    EXPECT_NE(refused.error().remedy.find("device=sim"), std::string::npos);
    EXPECT_OK(hl::Device::open("sim"));
    EXPECT_OK(hl::Device::open(spec + "-other"));
    holder.kill();
    EXPECT_OK(hl::Device::open(spec));
}

TEST(SimName, IsFreeOnceTheObjectIsGone)
{
    const std::string spec = own_name();
    for (int i = 0; i < 20; ++i) {
        const auto device = hl::Device::open(spec);
        ASSERT_OK(device);
        EXPECT_EQ((*device)->info().name, spec);
        EXPECT_EQ((*device)->info().spec, spec);
        const auto same = hl::Device::open(spec);
        ASSERT_OK(same);
        EXPECT_EQ(same->get(), device->get());
    }
}

// A frame that another process still has keeps the name taken: of the driver, the dma-buf has the compute node open
// (memory.c export_dmabuf()).
TEST(SimName, IsHeldByAnExportElsewhere)
{
    const std::string spec = own_name();
    auto device = hl::Device::open(spec);
    ASSERT_OK(device);
    const auto memory = (*device)->allocate(4096, hl::Placement::Device);
    auto fd = (*device)->export_dmabuf(*memory);
    ASSERT_OK(fd);
    hl::test::FdKeeper keeper(fd->get());
    fd->reset();
    device->reset();
    const auto busy = hl::Device::open(spec);
    ASSERT_CODE(busy, ErrorCode::DeviceBusy);
    EXPECT_NE(busy.error().cause.find("held by frames that this process exported from it"), std::string::npos)
        << busy.error().cause;
    EXPECT_NE(busy.error().remedy.find("close the frames that were exported"), std::string::npos);
    keeper.end();
    EXPECT_OK(hl::Device::open(spec));
}

// Host pages are the process's own: their exports hold nothing.
TEST(SimName, IsNotHeldByHostPages)
{
    const std::string spec = own_name();
    auto device = hl::Device::open(spec);
    ASSERT_OK(device);
    const auto memory = (*device)->allocate(4096, hl::Placement::Host);
    const auto fd = (*device)->export_dmabuf(*memory);
    ASSERT_OK(fd);
    device->reset();
    EXPECT_OK(hl::Device::open(spec));
}

TEST(SimName, OutlivesAnOwnerThatIsNamedAsEnded)
{
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    hl::UniqueFd ours(ends[0]);
    const std::string name = std::format("test-{}", ::getpid());
    const pid_t child = ::fork();
    if (child == 0) {
        const auto held = hl::sim::lock_name(name);
        ::_exit(held && hl::sim::leave_with(ends[1], held->get()) ? 0 : 1);
    }
    ::close(ends[1]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    const auto busy = hl::sim::lock_name(name);
    ASSERT_CODE(busy, ErrorCode::DeviceBusy);
    EXPECT_NE(busy.error().cause.find(std::format("process {} that has ended", child)), std::string::npos)
        << busy.error().cause;
    ours.reset();
    EXPECT_OK(hl::sim::lock_name(name));
}

TEST(SimName, PrivateSimsDoNotMeet)
{
    const auto device = hl::test::open_sim();
    Holder holder("sim");
    EXPECT_TRUE(holder.held());
}
