// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"
#include "transport/bytes.h"
#include "transport/connection.h"
#include "transport/functionserver.h"
#include "transport/message.h"

#include <gtest/gtest.h>

#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

// What QEMU is to the server, for tests: speaks in bytes of its own making.
namespace gaudiemu::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::string_view text)
{
    const auto *first = reinterpret_cast<const std::byte *>(text.data());
    return {first, first + text.size()};
}

inline hl::UniqueFd memory_file(uint64_t size)
{
    hl::UniqueFd fd(::memfd_create("gaudiemu-test", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
    return fd;
}

// A file's bytes in this process.
class Mapped {
public:
    Mapped(int fd, size_t size)
        : size_(size),
          bytes_(static_cast<std::byte *>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)))
    {
        EXPECT_NE(static_cast<void *>(bytes_), MAP_FAILED);
    }
    Mapped(const Mapped &) = delete;
    Mapped &operator=(const Mapped &) = delete;
    ~Mapped() { ::munmap(bytes_, size_); }
    [[nodiscard]] std::span<std::byte> span() const { return {bytes_, size_}; }

private:
    const size_t size_;
    std::byte *const bytes_;
};

// One message of the server's.
struct Answer {
    uint16_t id = 0;
    uint16_t command = 0;
    uint32_t flags = 0;
    uint32_t error = 0;
    Bytes payload;
    std::vector<hl::UniqueFd> fds;

    [[nodiscard]] bool is_error(int error_number) const
    {
        return flags == 0x21 && error == static_cast<uint32_t>(error_number) && payload.empty();
    }
    [[nodiscard]] bool is_good() const { return flags == 1 && error == 0; }
    template <class T>
    [[nodiscard]] T at(size_t offset) const
    {
        T value{};
        EXPECT_LE(offset + sizeof(T), payload.size());
        if (offset + sizeof(T) <= payload.size())
            std::memcpy(&value, payload.data() + offset, sizeof(T));
        return value;
    }
};

class Client {
public:
    explicit Client(hl::UniqueFd socket) : socket_(std::move(socket)) {}

    static Bytes message(uint16_t id, uint16_t command, const Bytes &payload, uint32_t flags = 0)
    {
        ByteWriter out;
        out.put(id).put(command).put(static_cast<uint32_t>(16 + payload.size())).put(flags).put(uint32_t{0});
        return out.put_bytes(payload).take();
    }

    void send(const Bytes &bytes, const std::vector<int> &fds = {}) const
    {
        std::array<std::byte, 1024> control{};
        iovec part{.iov_base = const_cast<std::byte *>(bytes.data()), .iov_len = bytes.size()};
        msghdr out{};
        out.msg_iov = &part;
        out.msg_iovlen = 1;
        if (!fds.empty()) {
            out.msg_control = control.data();
            out.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
            auto *header = CMSG_FIRSTHDR(&out);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
            std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
        }
        ASSERT_EQ(::sendmsg(socket_.get(), &out, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }

    // nullopt: the server has ended the connection.
    [[nodiscard]] std::optional<Answer> receive() const
    {
        std::array<std::byte, 16> header{};
        std::array<std::byte, 1024> control{};
        iovec part{.iov_base = header.data(), .iov_len = header.size()};
        msghdr in{};
        in.msg_iov = &part;
        in.msg_iovlen = 1;
        in.msg_control = control.data();
        in.msg_controllen = control.size();
        if (::recvmsg(socket_.get(), &in, MSG_WAITALL | MSG_CMSG_CLOEXEC) != 16)
            return std::nullopt;
        Answer answer;
        if (const auto *rights = CMSG_FIRSTHDR(&in)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
            answer.fds.emplace_back(fd);
        }
        ByteReader reader(header);
        answer.id = *reader.next<uint16_t>();
        answer.command = *reader.next<uint16_t>();
        answer.payload.resize(*reader.next<uint32_t>() - 16);
        answer.flags = *reader.next<uint32_t>();
        answer.error = *reader.next<uint32_t>();
        const auto size = static_cast<ssize_t>(answer.payload.size());
        if (size != 0 && ::recv(socket_.get(), answer.payload.data(), answer.payload.size(), MSG_WAITALL) != size)
            return std::nullopt;
        return answer;
    }

    // Sends a request and takes the reply, which must be the reply to it.
    [[nodiscard]] Answer ask(vfio::Command command, const Bytes &payload, const std::vector<int> &fds = {})
    {
        return ask_number(std::to_underlying(command), payload, fds);
    }
    [[nodiscard]] Answer ask_number(uint16_t command, const Bytes &payload, const std::vector<int> &fds = {})
    {
        send(message(++id_, command, payload), fds);
        auto answer = receive();
        EXPECT_TRUE(answer);
        if (!answer)
            return {};
        EXPECT_EQ(answer->id, id_);
        EXPECT_EQ(answer->command, command);
        return std::move(*answer);
    }

    [[nodiscard]] Answer agree_on_version(std::string_view json = R"({"capabilities":{"max_data_xfer_size":1048576}})")
    {
        auto text = bytes_of(json);
        text.push_back(std::byte{0});
        return ask(vfio::Command::Version, ByteWriter().put(uint16_t{0}).put(uint16_t{1}).put_bytes(text).take());
    }
    [[nodiscard]] Answer map(uint64_t address, uint64_t size, int fd = -1, uint64_t offset = 0, uint32_t flags = 3)
    {
        ByteWriter out;
        out.put(uint32_t{32}).put(flags).put(offset).put(address).put(size);
        return ask(vfio::Command::DmaMap, out.take(), fd < 0 ? std::vector<int>{} : std::vector{fd});
    }
    [[nodiscard]] Answer unmap(uint64_t address, uint64_t size, uint32_t flags = 0)
    {
        return ask(vfio::Command::DmaUnmap, ByteWriter().put(uint32_t{24}).put(flags).put(address).put(size).take());
    }
    [[nodiscard]] Answer region_info(uint32_t index, uint32_t argsz)
    {
        ByteWriter out;
        out.put(argsz).put(uint32_t{0}).put(index).put(uint32_t{0}).put(uint64_t{0}).put(uint64_t{0});
        return ask(vfio::Command::GetRegionInfo, out.take());
    }
    [[nodiscard]] Answer irq_info(uint32_t index)
    {
        ByteWriter out;
        return ask(vfio::Command::GetIrqInfo,
                   out.put(uint32_t{16}).put(uint32_t{0}).put(index).put(uint32_t{0}).take());
    }
    [[nodiscard]] Answer set_irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                                  const std::vector<int> &fds = {})
    {
        ByteWriter out;
        out.put(uint32_t{20}).put(flags).put(index).put(start).put(count);
        return ask(vfio::Command::SetIrqs, out.take(), fds);
    }
    [[nodiscard]] Answer read(uint32_t region, uint64_t offset, uint32_t count)
    {
        return ask(vfio::Command::RegionRead, ByteWriter().put(offset).put(region).put(count).take());
    }
    [[nodiscard]] Answer write(uint32_t region, uint64_t offset, const Bytes &data)
    {
        ByteWriter out;
        out.put(offset).put(region).put(static_cast<uint32_t>(data.size())).put_bytes(data);
        return ask(vfio::Command::RegionWrite, out.take());
    }
    template <class T>
    [[nodiscard]] T read_number(uint32_t region, uint64_t offset)
    {
        return read(region, offset, sizeof(T)).template at<T>(16);
    }
    template <class T>
    void write_number(uint32_t region, uint64_t offset, T value)
    {
        EXPECT_TRUE(write(region, offset, ByteWriter().put(value).take()).is_good());
    }
    void set_bus_master() { write_number<uint16_t>(VFIO_PCI_CONFIG_REGION_INDEX, 4, 6); }

    void hang_up() { socket_.reset(); }

private:
    hl::UniqueFd socket_;
    uint16_t id_ = 100;
};

// A server with a function and a client, connected.
class Served {
public:
    explicit Served(PciFunction &function)
    {
        std::array<int, 2> pair{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
        client = std::make_unique<Client>(hl::UniqueFd(pair[0]));
        server = std::make_unique<FunctionServer>("test", hl::UniqueFd(pair[1]));
        thread_ = std::thread([this, &function] { server->serve(function); });
    }
    Served(const Served &) = delete;
    Served &operator=(const Served &) = delete;
    ~Served() { end(); }

    // Hangs up, and waits until the server has noticed.
    void end()
    {
        client->hang_up();
        wait();
    }
    // Waits until the server has ended the connection.
    void wait()
    {
        if (thread_.joinable())
            thread_.join();
    }

    std::unique_ptr<Client> client;
    std::unique_ptr<FunctionServer> server;

private:
    std::thread thread_;
};

} // namespace gaudiemu::test
