// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
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
    EXPECT_NE(refused.error().cause.find(std::format("process {} (", holder.pid())), std::string::npos)
        << refused.error().cause;
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

TEST(SimName, PrivateSimsDoNotMeet)
{
    const auto device = hl::test::open_sim();
    Holder holder("sim");
    EXPECT_TRUE(holder.held());
}
