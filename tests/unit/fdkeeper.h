// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace hl::test {

// Another process that has a duplicate of a descriptor until it is told to end.
class FdKeeper {
public:
    explicit FdKeeper(int fd)
    {
        std::array<int, 2> hold{};
        EXPECT_EQ(::pipe2(hold.data(), O_CLOEXEC), 0);
        pid_ = ::fork();
        if (pid_ == 0) { // cat ends when the pipe is closed
            ::dup2(hold[0], 0);
            (void)::dup(fd); // without O_CLOEXEC
            ::close(hold[1]);
            ::execl("/bin/cat", "cat", nullptr);
            ::_exit(127);
        }
        ::close(hold[0]);
        end_ = hold[1];
    }
    FdKeeper(const FdKeeper &) = delete;
    FdKeeper &operator=(const FdKeeper &) = delete;
    ~FdKeeper() { end(); }

    [[nodiscard]] pid_t pid() const { return pid_; }
    // Gone when this returns.
    void end()
    {
        if (end_ < 0)
            return;
        ::close(end_);
        end_ = -1;
        int status = -1;
        EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
        EXPECT_EQ(status, 0);
    }

private:
    pid_t pid_ = 0;
    int end_ = -1;
};

} // namespace hl::test
