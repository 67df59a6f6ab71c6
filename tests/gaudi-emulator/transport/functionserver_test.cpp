// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/functionserver.h"

#include "transport/testclient.h"
#include "transport/testfunction.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <future>
#include <ranges>

namespace gaudiemu::test {
namespace {

using testing::ElementsAre;
using vfio::Command;

constexpr uint32_t config = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr uint32_t trigger_eventfd = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD;
constexpr uint32_t trigger_none = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE;
constexpr size_t page = 4096;

uint64_t count_of(const hl::UniqueFd &event)
{
    uint64_t count = 0;
    return ::read(event.get(), &count, sizeof(count)) == sizeof(count) ? count : 0;
}

Bytes pattern(size_t size, unsigned first = 1)
{
    Bytes bytes(size);
    for (size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>(first + i * 7 + i / 251);
    return bytes;
}

class FunctionServerTest : public testing::Test {
protected:
    FunctionServerTest() { EXPECT_TRUE(client.agree_on_version().is_good()); }

    TestFunction function;
    Served served{function};
    Client &client = *served.client;
};

TEST(FunctionServerVersion, TellsItsLimits)
{
    TestFunction function;
    Served served(function);
    const auto answer = served.client->agree_on_version();
    ASSERT_TRUE(answer.is_good());
    EXPECT_EQ(answer.at<uint16_t>(0), 0);
    EXPECT_EQ(answer.at<uint16_t>(2), 0);
    EXPECT_EQ(answer.payload.back(), std::byte{0});
    const std::string text(reinterpret_cast<const char *>(answer.payload.data()) + 4, answer.payload.size() - 5);
    for (const auto *part :
         {R"("max_msg_fds":16)", R"("max_data_xfer_size":1048576)", R"("pgsizes":4096)", R"("max_dma_maps":65535)"})
        EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
    EXPECT_EQ(text.find("write_multiple"), std::string::npos);
}

TEST(FunctionServerVersion, EndsTheConnectionWithoutOne)
{
    for (const auto &[command, payload] : std::initializer_list<std::pair<Command, Bytes>>{
             {Command::GetInfo, Bytes(16, std::byte{16})},
             {Command::Reset, {}},
             {Command::Version, ByteWriter().put(uint16_t{1}).put(uint16_t{0}).take()},
             {Command::Version, Bytes(2)},
             {Command::Version, ByteWriter().put(uint32_t{0}).put_bytes(bytes_of("{")).put('\0').take()},
             {Command::Version, ByteWriter().put(uint32_t{0}).put_bytes(bytes_of("{}")).take()},
             {Command::Version, ByteWriter().put(uint32_t{0}).put_bytes(bytes_of("{}x")).take()},
             {Command::Version, ByteWriter().put(uint32_t{0}).put_bytes(Bytes(5000, std::byte{'['})).put('\0').take()},
         }) {
        TestFunction function;
        Served served(function);
        const auto answer = served.client->ask(command, payload);
        EXPECT_EQ(answer.flags, 0x21U);
        EXPECT_NE(answer.error, 0U);
        EXPECT_FALSE(served.client->receive());
        served.wait();
    }
}

TEST_F(FunctionServerTest, AgreesOnlyOnce)
{
    EXPECT_TRUE(client.agree_on_version().is_error(EPROTO));
    EXPECT_TRUE(client.ask(Command::Reset, {}).is_good());
}

TEST_F(FunctionServerTest, DescribesTheDevice)
{
    const auto answer = client.ask(Command::GetInfo, ByteWriter().put(uint32_t{16}).put(uint64_t{0}).put(0).take());
    ASSERT_TRUE(answer.is_good());
    EXPECT_EQ(answer.at<uint32_t>(4), VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
    EXPECT_EQ(answer.at<uint32_t>(8), 9U);
    EXPECT_EQ(answer.at<uint32_t>(12), 5U);
}

TEST_F(FunctionServerTest, DescribesASparseBarInTwoSteps)
{
    const auto first = client.region_info(0, 32);
    ASSERT_TRUE(first.is_good());
    EXPECT_EQ(first.payload.size(), 32U);
    EXPECT_TRUE(first.fds.empty());
    EXPECT_EQ(first.at<uint32_t>(0), 32U + 16 + 2 * 16);
    EXPECT_EQ(first.at<uint32_t>(4), VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
                                         VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS);
    EXPECT_EQ(first.at<uint32_t>(12), 32U); // where the capability will begin
    EXPECT_EQ(first.at<uint64_t>(16), TestFunction::bar0_size);

    const auto whole = client.region_info(0, first.at<uint32_t>(0));
    ASSERT_TRUE(whole.is_good());
    ASSERT_EQ(whole.payload.size(), 80U);
    ASSERT_EQ(whole.fds.size(), 1U);
    EXPECT_EQ(whole.at<uint32_t>(12), 32U); // where the capability begins
    EXPECT_EQ(whole.at<uint16_t>(32), VFIO_REGION_INFO_CAP_SPARSE_MMAP);
    EXPECT_EQ(whole.at<uint16_t>(34), 1);
    EXPECT_EQ(whole.at<uint32_t>(36), 0U);
    EXPECT_EQ(whole.at<uint32_t>(40), 2U);
    EXPECT_EQ(whole.at<uint64_t>(48), 0x2000U);
    EXPECT_EQ(whole.at<uint64_t>(56), 0x2000U);
    EXPECT_EQ(whole.at<uint64_t>(64), 0x8000U);
    EXPECT_EQ(whole.at<uint64_t>(72), 0x1000U);
}

TEST_F(FunctionServerTest, DescribesTheOtherRegions)
{
    const auto memory = client.region_info(2, 32);
    EXPECT_EQ(memory.at<uint32_t>(4),
              VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP);
    ASSERT_EQ(memory.fds.size(), 1U);
    const Mapped mine(memory.fds[0].get(), page);
    const Mapped its(function.bars()[1].memfd, page);
    mine.span()[5] = std::byte{55};
    EXPECT_EQ(its.span()[5], std::byte{55});

    const auto trapped = client.region_info(4, 32);
    EXPECT_EQ(trapped.at<uint32_t>(4), VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
    EXPECT_TRUE(trapped.fds.empty());
    EXPECT_EQ(client.region_info(config, 32).at<uint64_t>(16), 4096U);
    for (const uint32_t none : {1, 3, 5, 6, 8}) {
        const auto answer = client.region_info(none, 32);
        EXPECT_TRUE(answer.is_good());
        EXPECT_EQ(answer.at<uint32_t>(4), 0U) << none;
        EXPECT_EQ(answer.at<uint64_t>(16), 0U) << none;
    }
    EXPECT_TRUE(client.region_info(9, 32).is_error(EINVAL));
    EXPECT_TRUE(client.region_info(0, 31).is_error(EINVAL));
}

TEST_F(FunctionServerTest, CutsAccessesToWhatADeviceCanHave)
{
    EXPECT_EQ(client.read_number<uint32_t>(0, 0x104), 0x104U);
    EXPECT_EQ(client.read_number<uint64_t>(0, 0x108), 0xA0B0'C0D0'0000'0108U);
    EXPECT_TRUE(client.write(0, 0x13, pattern(13)).is_good());
    EXPECT_THAT(function.accesses,
                ElementsAre(TestFunction::Access{'r', 0, 0x104, 4, 0}, TestFunction::Access{'r', 0, 0x108, 8, 0},
                            TestFunction::Access{'w', 0, 0x13, 1, 0x01},
                            TestFunction::Access{'w', 0, 0x14, 4, 0x1D160F08},
                            TestFunction::Access{'w', 0, 0x18, 8, 0x554E474039322B24}));
}

TEST_F(FunctionServerTest, RefusesAccessesOutsideARegion)
{
    EXPECT_TRUE(client.read(0, TestFunction::bar0_size - 4, 8).is_error(EINVAL));
    EXPECT_TRUE(client.read(0, ~uint64_t{0}, 8).is_error(EINVAL));
    EXPECT_TRUE(client.read(1, 0, 4).is_error(EINVAL));
    EXPECT_TRUE(client.read(77, 0, 4).is_error(EINVAL));
    EXPECT_TRUE(client.read(0, 0, 0).is_error(EINVAL));
    EXPECT_TRUE(client.read(2, 0, vfio::max_data_size + 1).is_error(E2BIG));
    EXPECT_TRUE(client.write(config, 4094, Bytes(4)).is_error(EINVAL));
    for (const size_t size : {3, 5}) { // not the bytes that it announces
        ByteWriter out;
        out.put(uint64_t{0}).put(uint32_t{0}).put(uint32_t{4}).put_bytes(Bytes(size));
        EXPECT_TRUE(client.ask(Command::RegionWrite, out.take()).is_error(EINVAL));
    }
    EXPECT_TRUE(function.accesses.empty());
}

TEST_F(FunctionServerTest, KeepsTheMsixTableFromTheFunction)
{
    EXPECT_EQ(client.read_number<uint32_t>(4, 0), 0U);
    EXPECT_EQ(client.read_number<uint64_t>(4, 0x1000), 0U);
    client.write_number<uint32_t>(4, TestFunction::vectors * 16 - 4, 1);
    EXPECT_TRUE(function.accesses.empty());
    client.write_number<uint32_t>(4, TestFunction::vectors * 16, 1);
    EXPECT_EQ(function.accesses.size(), 1U);
}

TEST_F(FunctionServerTest, WritesThatWantNoAnswerGetNone)
{
    ByteWriter out;
    out.put(uint64_t{0x40}).put(uint32_t{0}).put(uint32_t{4}).put(uint32_t{0xCAFE});
    client.send(Client::message(7, std::to_underlying(Command::RegionWrite), out.take(), 0x10));
    client.send(Client::message(8, 99, {}, 0x10));
    EXPECT_EQ(client.read_number<uint32_t>(config, 0), 0x10201DA3U);
    EXPECT_THAT(function.accesses, ElementsAre(TestFunction::Access{'w', 0, 0x40, 4, 0xCAFE}));
}

TEST_F(FunctionServerTest, AnswersUnknownAndUnservedCommands)
{
    for (const uint16_t command : std::to_array<uint16_t>({6, 11, 12, 14, 15, 17, 999}))
        EXPECT_TRUE(client.ask_number(command, Bytes(64)).is_error(ENOSYS)) << command;
    EXPECT_TRUE(client.ask(Command::DeviceFeature, Bytes(16)).is_error(ENOTTY));
}

TEST_F(FunctionServerTest, ConnectsInterrupts)
{
    EXPECT_EQ(client.irq_info(VFIO_PCI_MSIX_IRQ_INDEX).at<uint32_t>(12), TestFunction::vectors);
    EXPECT_EQ(client.irq_info(VFIO_PCI_MSI_IRQ_INDEX).at<uint32_t>(12), 0U);
    EXPECT_EQ(client.irq_info(VFIO_PCI_INTX_IRQ_INDEX).at<uint32_t>(12), 0U);
    EXPECT_TRUE(client.irq_info(5).is_error(EINVAL));

    const hl::UniqueFd third(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    const hl::UniqueFd fourth(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    const std::vector<int> fds{third.get(), fourth.get()};
    ASSERT_TRUE(client.set_irqs(trigger_eventfd, VFIO_PCI_MSIX_IRQ_INDEX, 3, 2, fds).is_good());
    function.host().interrupt(3);
    function.host().interrupt(4);
    function.host().interrupt(4);
    function.host().interrupt(5);
    function.host().interrupt(TestFunction::vectors);
    EXPECT_EQ(count_of(third), 1U);
    EXPECT_EQ(count_of(fourth), 2U);

    ASSERT_TRUE(client.set_irqs(trigger_none, VFIO_PCI_MSIX_IRQ_INDEX, 4, 1).is_good()); // raises it
    EXPECT_EQ(count_of(fourth), 1U);
    ASSERT_TRUE(client.set_irqs(trigger_eventfd, VFIO_PCI_MSIX_IRQ_INDEX, 3, 1).is_good());
    function.host().interrupt(3);
    function.host().interrupt(4);
    EXPECT_EQ(count_of(third), 0U);
    EXPECT_EQ(count_of(fourth), 1U);
    ASSERT_TRUE(client.set_irqs(trigger_none, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0).is_good());
    function.host().interrupt(4);
    EXPECT_EQ(count_of(fourth), 0U);
}

TEST_F(FunctionServerTest, RefusesInterruptsThatItHasNot)
{
    const hl::UniqueFd event(::eventfd(0, EFD_CLOEXEC));
    const std::vector<int> fds{event.get()};
    constexpr uint32_t msix = VFIO_PCI_MSIX_IRQ_INDEX;
    EXPECT_TRUE(client.set_irqs(trigger_eventfd, msix, TestFunction::vectors, 1, fds).is_error(EINVAL));
    EXPECT_TRUE(client.set_irqs(trigger_eventfd, msix, 0xFFFF'FFFF, 1, fds).is_error(EINVAL));
    EXPECT_TRUE(client.set_irqs(trigger_eventfd, msix, 0, 2, fds).is_error(EINVAL));
    EXPECT_TRUE(client.set_irqs(trigger_none, msix, 0, 1, fds).is_error(EINVAL));
    EXPECT_TRUE(client.set_irqs(trigger_eventfd, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, fds).is_error(EINVAL));
    EXPECT_TRUE(client.set_irqs(trigger_eventfd, 9, 0, 0).is_error(EINVAL));
    EXPECT_TRUE(client.set_irqs(VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_DATA_NONE, msix, 0, 1).is_error(ENOTSUP));
}

TEST_F(FunctionServerTest, ADescriptorThatBlocksDoesNotStopTheFunction)
{
    const hl::UniqueFd full(::eventfd(0, EFD_CLOEXEC));
    const uint64_t most = ~uint64_t{0} - 1;
    ASSERT_EQ(::write(full.get(), &most, sizeof(most)), 8);
    ASSERT_TRUE(client.set_irqs(trigger_eventfd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, {full.get()}).is_good());
    function.host().interrupt(0);
    EXPECT_TRUE(client.ask(Command::Reset, {}).is_good());
}

TEST_F(FunctionServerTest, ConfigSpaceHooksComeFirst)
{
    EXPECT_EQ(client.read_number<uint32_t>(config, TestFunction::own_register), 0x600DU);
    client.write_number<uint32_t>(config, TestFunction::own_register, 0x12345678);
    client.write_number<uint8_t>(config, TestFunction::own_register + 2, 0xEE);
    EXPECT_EQ(function.own_value, 0x12EE5678U);
    EXPECT_EQ(client.read_number<uint16_t>(config, TestFunction::own_register + 2), 0x12EE);
}

TEST_F(FunctionServerTest, ResetsByMessageAndByFunctionLevelReset)
{
    const int before = function.resets;
    client.set_bus_master();
    EXPECT_TRUE(client.ask(Command::Reset, {}).is_good());
    EXPECT_EQ(function.resets, before + 1);
    EXPECT_EQ(client.read_number<uint16_t>(config, 4), 0);
    client.set_bus_master();
    const auto control = client.read_number<uint16_t>(config, 0x48);
    client.write_number<uint16_t>(config, 0x48, control | 0x8000); // PCI_EXP_DEVCTL_BCR_FLR
    EXPECT_EQ(function.resets, before + 2);
    EXPECT_EQ(client.read_number<uint16_t>(config, 4), 0);
    EXPECT_EQ(client.read_number<uint16_t>(config, 0x48), control);
    EXPECT_TRUE(client.ask(Command::Reset, Bytes(4)).is_error(EINVAL));
}

// --- DMA ---

TEST_F(FunctionServerTest, DmaReachesMappedMemory)
{
    const auto ram = memory_file(8 * page);
    const Mapped memory(ram.get(), 8 * page);
    ASSERT_TRUE(client.map(0x10'0000, 2 * page, ram.get(), page).is_good());
    ASSERT_TRUE(client.map(0x10'0000 + 2 * page, page, ram.get(), 6 * page).is_good());
    client.set_bus_master();

    const auto data = pattern(2 * page); // across both mappings, whose memory is not adjacent
    ASSERT_TRUE(function.host().dma_write(0x10'0000 + page, data));
    EXPECT_TRUE(std::ranges::equal(memory.span().subspan(2 * page, page), std::span(data).first(page)));
    EXPECT_TRUE(std::ranges::equal(memory.span().subspan(6 * page, page), std::span(data).last(page)));
    Bytes back(2 * page);
    ASSERT_TRUE(function.host().dma_read(0x10'0000 + page, back));
    EXPECT_EQ(back, data);
    EXPECT_TRUE(function.host().dma_read(0xDEAD'0000, {}));
}

TEST_F(FunctionServerTest, DmaIsRefusedWhereItCannotBe)
{
    const auto ram = memory_file(4 * page);
    ASSERT_TRUE(client.map(0, page, ram.get(), 0).is_good());
    ASSERT_TRUE(client.map(page, page, ram.get(), page, 1).is_good()); // read only
    Bytes data(16);
    const auto early = function.host().dma_read(0, data);
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().reason, "the function is not bus master");
    client.set_bus_master();
    EXPECT_TRUE(function.host().dma_read(page, data));
    const auto written = function.host().dma_write(page, data);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().reason, "the memory there cannot be written");
    EXPECT_EQ(written.error().address, page);
    EXPECT_FALSE(function.host().dma_read(~uint64_t{0} - 3, data));
}

TEST_F(FunctionServerTest, ChecksMappings)
{
    const auto ram = memory_file(4 * page);
    EXPECT_TRUE(client.map(0, 0, ram.get()).is_error(EINVAL));
    EXPECT_TRUE(client.map(0, 100, ram.get()).is_error(EINVAL));
    EXPECT_TRUE(client.map(100, page, ram.get()).is_error(EINVAL));
    EXPECT_TRUE(client.map(0, page, ram.get(), 100).is_error(EINVAL));
    EXPECT_TRUE(client.map(0, page, ram.get(), 4 * page).is_error(EINVAL)); // beyond the file
    EXPECT_TRUE(client.map(0, page, ram.get(), ~uint64_t{page - 1}).is_error(EINVAL));
    EXPECT_TRUE(client.map(~uint64_t{page - 1}, 2 * page).is_error(EINVAL)); // beyond the last address
    EXPECT_TRUE(client.map(0, page, ram.get(), 0, 0x80).is_error(EINVAL));
    EXPECT_TRUE(client.ask(Command::DmaMap, Bytes(31)).is_error(EINVAL));
    EXPECT_TRUE(client.map(2 * page, 2 * page, ram.get()).is_good());
    EXPECT_TRUE(client.map(3 * page, page, ram.get()).is_error(EEXIST));
    EXPECT_TRUE(client.map(0, 3 * page, ram.get()).is_error(EEXIST));
    EXPECT_TRUE(client.map(~uint64_t{page - 1}, page).is_good());
}

TEST_F(FunctionServerTest, UnmapsWholeMappingsOnly)
{
    const auto ram = memory_file(4 * page);
    for (const uint64_t address : {0, 1, 2, 3})
        ASSERT_TRUE(client.map(address * page, page, ram.get(), address * page).is_good());
    ASSERT_TRUE(client.map(8 * page, 2 * page, ram.get()).is_good());
    EXPECT_TRUE(client.unmap(8 * page, page).is_error(EINVAL));
    EXPECT_TRUE(client.unmap(9 * page, 4 * page).is_error(EINVAL));
    const auto several = client.unmap(page, 2 * page);
    EXPECT_TRUE(several.is_good());
    EXPECT_EQ(several.at<uint64_t>(8), page);
    EXPECT_EQ(several.at<uint64_t>(16), 2 * page);
    EXPECT_TRUE(client.map(page, 2 * page, ram.get()).is_good());
    EXPECT_TRUE(client.unmap(0x100'0000, page).is_good()); // none there
    EXPECT_TRUE(client.unmap(page, 100).is_error(EINVAL));
    EXPECT_TRUE(client.unmap(0, page, VFIO_DMA_UNMAP_FLAG_ALL).is_error(EINVAL));
    EXPECT_TRUE(client.unmap(0, 0, VFIO_DMA_UNMAP_FLAG_ALL).is_good());
    EXPECT_TRUE(client.map(0, 4 * page, ram.get()).is_good());
}

// What is no guest memory is asked of the client, in pieces that it takes, and the server goes on serving meanwhile.
TEST(FunctionServerRemoteDma, WritesAndReadsInPieces)
{
    TestFunction function;
    Served served(function);
    auto &client = *served.client;
    ASSERT_TRUE(client.agree_on_version(R"({"capabilities":{"max_data_xfer_size":4096}})").is_good());
    ASSERT_TRUE(client.map(0x8000'0000, 4 * page).is_good());
    client.set_bus_master();
    const auto data = pattern(page + 100);
    auto writing = std::async(std::launch::async, [&] { return function.host().dma_write(0x8000'0010, data); });
    Bytes got;
    for (const size_t size : {page, size_t{100}}) {
        const auto request = client.receive();
        ASSERT_TRUE(request);
        EXPECT_EQ(request->command, std::to_underlying(Command::DmaWrite));
        EXPECT_EQ(request->flags, 0U);
        EXPECT_EQ(request->at<uint64_t>(0), 0x8000'0010 + got.size());
        EXPECT_EQ(request->at<uint64_t>(8), size);
        ASSERT_EQ(request->payload.size(), 16 + size);
        got.insert(got.end(), request->payload.begin() + 16, request->payload.end());
        EXPECT_EQ(client.read_number<uint32_t>(config, 0), 0x10201DA3U);
        client.send(Client::message(request->id, request->command, {}, 1));
    }
    EXPECT_TRUE(writing.get());
    EXPECT_EQ(got, data);

    Bytes back(10);
    auto reading = std::async(std::launch::async, [&] { return function.host().dma_read(0x8000'0000, back); });
    const auto request = client.receive();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->command, std::to_underlying(Command::DmaRead));
    EXPECT_EQ(request->at<uint64_t>(8), 10U);
    ByteWriter out;
    out.put(uint64_t{0x8000'0000}).put(uint64_t{10}).put_bytes(pattern(10));
    client.send(Client::message(request->id, request->command, out.take(), 1));
    EXPECT_TRUE(reading.get());
    EXPECT_EQ(back, pattern(10));
}

TEST_F(FunctionServerTest, AReadAsksForNoMoreThanAnAnswerOfQemusHolds)
{
    client.set_bus_master();
    const auto data = pattern(150'000);
    Bytes back(data.size());
    auto reading = std::async(std::launch::async, [&] { return function.host().dma_read(0x8000'0000, back); });
    for (size_t done = 0; done < data.size();) {
        const auto request = client.receive();
        ASSERT_TRUE(request);
        const auto size = request->at<uint64_t>(8);
        EXPECT_EQ(request->at<uint64_t>(0), 0x8000'0000 + done);
        ASSERT_LE(size, 65'536U);
        ByteWriter out;
        out.put(request->at<uint64_t>(0)).put(size).put_bytes(std::span(data).subspan(done, size));
        client.send(Client::message(request->id, request->command, out.take(), 1));
        done += size;
    }
    EXPECT_TRUE(reading.get());
    EXPECT_EQ(back, data);
}

TEST_F(FunctionServerTest, ADmaAcrossMemoryAndADeviceIsCutWhereTheyMeet)
{
    const auto ram = memory_file(page);
    const Mapped memory(ram.get(), page);
    ASSERT_TRUE(client.map(0, page, ram.get()).is_good());
    client.set_bus_master();
    const auto data = pattern(64);
    auto writing = std::async(std::launch::async, [&] { return function.host().dma_write(page - 32, data); });
    const auto request = client.receive();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->at<uint64_t>(0), page);
    EXPECT_EQ(request->at<uint64_t>(8), 32U);
    EXPECT_TRUE(std::ranges::equal(memory.span().last(32), std::span(data).first(32)));
    client.send(Client::message(request->id, request->command, {}, 0x21));
    EXPECT_FALSE(writing.get());
}

TEST_F(FunctionServerTest, SeveralWorkersGetTheirOwnAnswers)
{
    client.set_bus_master();
    constexpr size_t workers = 4;
    std::array<Bytes, workers> got;
    std::vector<std::future<std::expected<void, BusFault>>> reading;
    for (size_t i = 0; i < workers; ++i) {
        got[i].resize(8);
        reading.push_back(std::async(std::launch::async, [&, i] { return function.host().dma_read(i << 32, got[i]); }));
    }
    std::vector<Answer> requests;
    for (size_t i = 0; i < workers; ++i)
        requests.push_back(client.receive().value());
    for (const auto &request : requests | std::views::reverse) {
        ByteWriter out;
        out.put(request.at<uint64_t>(0)).put(uint64_t{8}).put(request.at<uint64_t>(0));
        client.send(Client::message(request.id, request.command, out.take(), 1));
    }
    for (size_t i = 0; i < workers; ++i) {
        EXPECT_TRUE(reading[i].get());
        EXPECT_EQ(got[i], ByteWriter().put(uint64_t{i} << 32).take());
    }
}

TEST_F(FunctionServerTest, AnAnswerThatIsNoneFailsTheDma)
{
    client.set_bus_master();
    const auto read_and_answer = [&](const Bytes &payload, uint16_t command, uint32_t flags) {
        Bytes back(8);
        auto reading = std::async(std::launch::async, [&] { return function.host().dma_read(0, back); });
        const auto request = client.receive().value();
        client.send(Client::message(static_cast<uint16_t>(request.id + 50), request.command, {}, 1)); // nobody's
        client.send(Client::message(request.id, command, payload, flags));
        return reading.get();
    };
    const auto read = std::to_underlying(Command::DmaRead);
    EXPECT_TRUE(read_and_answer(Bytes(24), read, 1));
    EXPECT_FALSE(read_and_answer(Bytes(23), read, 1));
    EXPECT_FALSE(read_and_answer(Bytes(25), read, 1));
    EXPECT_FALSE(read_and_answer({}, read, 1));
    EXPECT_FALSE(read_and_answer(Bytes(24), std::to_underlying(Command::DmaWrite), 1));
    EXPECT_FALSE(read_and_answer(Bytes(24), read, 0x21));
}

TEST_F(FunctionServerTest, ADmaInsideARegisterAccessMayNotAskTheClient)
{
    client.set_bus_master();
    std::string reason;
    function.on_write = [&] {
        Bytes data(4);
        if (const auto read = function.host().dma_read(0x1000, data); !read)
            reason = read.error().reason;
    };
    client.write_number<uint32_t>(0, 0, 1);
    EXPECT_EQ(reason, "asked of QEMU while QEMU waits for this function");
}

// The function may wait for its worker in reset(), while the client answers no DMA before the reset has been answered.
TEST_F(FunctionServerTest, AResetCallsRemoteDmaOff)
{
    client.set_bus_master();
    Bytes data(4);
    auto reading = std::async(std::launch::async, [&] { return function.host().dma_read(0x1000, data); });
    const auto request = client.receive().value();
    std::expected<void, BusFault> result;
    function.on_reset = [&] { result = reading.get(); };
    EXPECT_TRUE(client.ask(Command::Reset, {}).is_good());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().reason, "the function was reset");
    client.send(Client::message(request.id, request.command, Bytes(20), 1)); // too late
    EXPECT_TRUE(client.ask(Command::GetInfo, Bytes(16, std::byte{16})).is_good());
}

TEST_F(FunctionServerTest, AClientThatGoesEndsAllWaiting)
{
    client.set_bus_master();
    Bytes data(4);
    auto reading = std::async(std::launch::async, [&] { return function.host().dma_read(0x1000, data); });
    ASSERT_TRUE(client.receive());
    served.end();
    EXPECT_FALSE(reading.get());
    const auto later = function.host().dma_write(0, data);
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error().reason, "the machine is gone");
    function.host().interrupt(0);
}

// --- what is no message ---

TEST_F(FunctionServerTest, AHeaderThatIsNoneEndsTheConnection)
{
    const auto header = [](uint32_t size, uint32_t flags) {
        return ByteWriter().put(uint16_t{1}).put(uint16_t{13}).put(size).put(flags).put(uint32_t{0}).take();
    };
    for (const auto &bytes : {header(15, 0), header(0, 0), header(0xFFFF'FFFF, 0),
                              header(vfio::max_message_size + 1, 0), header(16, 2), header(16, 15)}) {
        TestFunction other;
        Served broken(other);
        ASSERT_TRUE(broken.client->agree_on_version().is_good());
        broken.client->send(bytes);
        EXPECT_FALSE(broken.client->receive());
        broken.wait();
    }
}

TEST_F(FunctionServerTest, AMessageMayComeInPieces)
{
    const auto message = Client::message(5, std::to_underlying(Command::GetInfo), Bytes(16, std::byte{16}));
    for (const auto byte : message)
        client.send({byte});
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_TRUE(answer->is_good());
}

TEST_F(FunctionServerTest, AClientThatStopsInAMessageIsGone)
{
    client.send(Bytes(10));
    served.end();
    EXPECT_FALSE(function.host().dma_read(0, {}));
}

TEST_F(FunctionServerTest, DescriptorsWhereNoneBelongAreRefusedAndClosed)
{
    const auto ram = memory_file(page);
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    hl::UniqueFd reader(pipe[0]);
    hl::UniqueFd writer(pipe[1]);
    EXPECT_TRUE(client.ask(Command::GetInfo, Bytes(16, std::byte{16}), {writer.get()}).is_error(EINVAL));
    ByteWriter out;
    out.put(uint32_t{32}).put(uint32_t{3}).put(uint64_t{0}).put(uint64_t{0}).put(uint64_t{page});
    EXPECT_TRUE(client.ask(Command::DmaMap, out.take(), {ram.get(), writer.get()}).is_error(EINVAL));
    EXPECT_TRUE(client.map(0, page, writer.get()).is_error(EINVAL)); // no file at all
    writer.reset();
    char byte = 0;
    EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "the server kept a descriptor";
}

TEST_F(FunctionServerTest, TooManyDescriptorsEndTheConnection)
{
    const auto ram = memory_file(page);
    client.send(Client::message(1, std::to_underlying(Command::Reset), {}), std::vector<int>(20, ram.get()));
    EXPECT_FALSE(client.receive());
}

TEST_F(FunctionServerTest, TooManyDescriptorsInPiecesEndTheConnection)
{
    const auto ram = memory_file(page);
    const std::vector<int> ten(10, ram.get());
    client.send(Bytes(1), ten);
    client.send(Bytes(1), ten);
    EXPECT_FALSE(client.receive());
}

} // namespace
} // namespace gaudiemu::test
