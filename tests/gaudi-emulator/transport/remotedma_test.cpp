// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/remotedma.h"

#include "transport/testclient.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <future>

namespace gaudiemu::test {
namespace {

// Both ends of a socket; nobody serves it.
class RemoteDmaTest : public testing::Test {
protected:
    static std::array<int, 2> pair()
    {
        std::array<int, 2> ends{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        return ends;
    }

    const std::array<int, 2> ends = pair();
    Client client{hl::UniqueFd(ends[0])};
    Connection connection{hl::UniqueFd(ends[1])};
    RemoteDma dma{connection};
    Bytes data = Bytes(8);
};

// A worker may have been on its way to a request when the reset began.
TEST_F(RemoteDmaTest, TakesNothingWhileItIsSuspended)
{
    dma.suspend();
    EXPECT_EQ(dma.read(0, data).error(), ECANCELED);
    EXPECT_EQ(dma.write(0, data).error(), ECANCELED);
    dma.resume();
    auto writing = std::async(std::launch::async, [&] { return dma.write(0, data); });
    const auto request = client.receive();
    ASSERT_TRUE(request);
    client.send(Client::message(request->id, request->command, {}, 1));
    dma.complete(connection.receive().value());
    EXPECT_TRUE(writing.get());
}

TEST_F(RemoteDmaTest, GivesTheClientsErrno)
{
    auto reading = std::async(std::launch::async, [&] { return dma.read(0, data); });
    const auto request = client.receive();
    ASSERT_TRUE(request);
    auto reply = Client::message(request->id, request->command, {}, 0x21);
    reply[12] = std::byte{ENODEV};
    client.send(reply);
    dma.complete(connection.receive().value());
    EXPECT_EQ(reading.get().error(), ENODEV);
}

TEST_F(RemoteDmaTest, AnAnswerToAnotherRequestIsAnError)
{
    auto writing = std::async(std::launch::async, [&] { return dma.write(0, data); });
    const auto request = client.receive();
    ASSERT_TRUE(request);
    client.send(Client::message(request->id, std::to_underlying(vfio::Command::DmaRead), {}, 1));
    dma.complete(connection.receive().value());
    EXPECT_EQ(writing.get().error(), EIO);
}

} // namespace
} // namespace gaudiemu::test
