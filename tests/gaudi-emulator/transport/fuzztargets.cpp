// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/fuzztargets.h"

#include "transport/bytes.h"
#include "transport/functionserver.h"
#include "transport/message.h"
#include "transport/testfunction.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <utility>

namespace gaudiemu::test {
namespace {

void require(bool promise)
{
    if (!promise)
        std::abort();
}

bool is_range(uint64_t address, uint64_t size)
{
    return size != 0 && size % vfio::page_size == 0 && address % vfio::page_size == 0 &&
           size - 1 <= std::numeric_limits<uint64_t>::max() - address;
}

// The shape that each type of request promises.
struct Shape {
    size_t fds;
    std::span<const std::byte> payload;

    void operator()(const vfio::VersionRequest &request) const
    {
        require(request.max_data_size > 0 && request.max_data_size <= vfio::max_data_size);
    }
    void operator()(const vfio::DmaMapRequest &request) const
    {
        require(is_range(request.address, request.size) && fds <= 1 &&
                (fds == 0 || is_range(request.offset, request.size)));
    }
    void operator()(const vfio::DmaUnmapRequest &request) const
    {
        require(request.all || is_range(request.address, request.size));
    }
    void operator()(const vfio::GetRegionInfoRequest &request) const { require(request.argsz >= 32); }
    void operator()(const vfio::SetIrqsRequest &request) const { require(fds == 0 || fds == request.count); }
    void operator()(const vfio::RegionReadRequest &request) const
    {
        require(request.count > 0 && request.count <= vfio::max_data_size);
    }
    void operator()(const vfio::RegionWriteRequest &request) const
    {
        require(!request.data.empty() && request.data.size() <= vfio::max_data_size &&
                request.data.data() >= payload.data() &&
                request.data.data() + request.data.size() <= payload.data() + payload.size());
    }
    template <class Other>
    void operator()(const Other & /*request*/) const
    {
        require(fds == 0);
    }
};

} // namespace

void fuzz_messages(std::span<const std::byte> stream)
{
    while (stream.size() >= vfio::header_size) {
        const auto header = vfio::parse_header(stream.first<vfio::header_size>());
        if (!header || header->size > stream.size())
            return;
        require(header->size >= vfio::header_size && header->size <= vfio::max_message_size);
        const auto payload = stream.subspan(vfio::header_size, header->size - vfio::header_size);
        for (const size_t fds : {size_t{0}, size_t{1}, vfio::max_fds}) {
            const auto request = vfio::parse_request(*header, payload, fds);
            if (request)
                std::visit(Shape{fds, payload}, *request);
            else
                require(request.error() > 0);
        }
        const auto data = vfio::parse_dma_read_reply(*header, payload, payload.size() / 2);
        require(data ? data->size() == payload.size() / 2 : data.error() > 0);
        stream = stream.subspan(header->size);
    }
}

void fuzz_server(std::span<const std::byte> stream)
{
    std::array<int, 2> pair{};
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    hl::UniqueFd client(pair[0]);
    FunctionServer server("fuzzed", hl::UniqueFd(pair[1]));
    TestFunction function;

    ByteWriter version;
    version.put(uint16_t{1}).put(std::to_underlying(vfio::Command::Version)).put(uint32_t{20});
    version.put(uint32_t{0}).put(uint32_t{0}).put(uint32_t{0});
    const auto sent = version.put_bytes(stream).take();
    // More than the socket holds would wait for a reader that comes after.
    const auto fits = std::min<size_t>(sent.size(), 64 << 10);
    require(::send(client.get(), sent.data(), fits, MSG_NOSIGNAL) == static_cast<ssize_t>(fits));
    // Nobody wants the answers: they fail to be sent, which must not matter either.
    ::shutdown(client.get(), SHUT_RDWR);
    server.serve(function);
    require(!server.dma_read(0, {}));
}

} // namespace gaudiemu::test
