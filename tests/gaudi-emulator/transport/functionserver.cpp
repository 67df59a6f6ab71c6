// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/functionserver.h"

#include "transport/bytes.h"

#include <linux/vfio.h>

#include <cerrno>
#include <cstring>
#include <limits>

namespace gaudiemu {

namespace {

// What request() of the client would have named its error; ours go the same way.
std::string describe(int error)
{
    return error == ECANCELED ? "the function was reset" : std::strerror(error);
}

DmaTable::Piece move_in_table(DmaTable &table, uint64_t address, std::span<std::byte> into)
{
    return table.read(address, into);
}

DmaTable::Piece move_in_table(DmaTable &table, uint64_t address, std::span<const std::byte> from)
{
    return table.write(address, from);
}

std::expected<void, int> move_remotely(RemoteDma &remote, uint64_t address, std::span<std::byte> into)
{
    return remote.read(address, into);
}

std::expected<void, int> move_remotely(RemoteDma &remote, uint64_t address, std::span<const std::byte> from)
{
    return remote.write(address, from);
}

} // namespace

FunctionServer::FunctionServer(std::string name, hl::UniqueFd socket)
    : name_(std::move(name)), connection_(std::move(socket))
{}

FunctionServer::~FunctionServer() = default;

void FunctionServer::serve(PciFunction &function)
{
    function_ = &function;
    interrupts_ = std::make_unique<Interrupts>(function.identity());
    regions_ = std::make_unique<Regions>(function);
    server_thread_ = std::this_thread::get_id();
    function.attach(*this);
    function.reset();
    while (auto message = connection_.receive()) {
        if (message->header.reply)
            remote_.complete(*message);
        else
            handle(*message);
    }
    gone_ = true;
    connection_.shut_down();
    remote_.suspend();
    interrupts_->disconnect_all();
    dma_.clear();
}

void FunctionServer::stop()
{
    connection_.shut_down();
}

void FunctionServer::handle(Connection::Message &message)
{
    received_ = &message.fds;
    const auto request = vfio::parse_request(message.header, message.payload, message.fds.size());
    Result answer = std::unexpected(EPROTO);
    if (!request)
        answer = std::unexpected(request.error());
    else if (version_agreed_ != std::holds_alternative<vfio::VersionRequest>(*request))
        answer = std::visit([this](const auto &which) { return handle(which); }, *request);
    if (!message.header.no_reply && answer)
        connection_.send(vfio::make_reply(message.header, answer->payload), answer->fd);
    else if (!message.header.no_reply)
        connection_.send(vfio::make_error_reply(message.header, answer.error()));
    if (!version_agreed_) // what follows cannot be understood
        connection_.shut_down();
}

FunctionServer::Result FunctionServer::handle(const vfio::VersionRequest &request)
{
    if (request.major != 0)
        return std::unexpected(ENOTSUP);
    version_agreed_ = true;
    remote_.set_limit(request.max_data_size);
    return Answer{vfio::version_payload()};
}

FunctionServer::Result FunctionServer::handle(const vfio::DmaMapRequest &request)
{
    hl::UniqueFd fd;
    if (!received_->empty())
        fd = std::move(received_->front());
    return dma_.map(request.address, request.size, request.writable, std::move(fd), request.offset).transform([] {
        return Answer{};
    });
}

FunctionServer::Result FunctionServer::handle(const vfio::DmaUnmapRequest &request)
{
    if (request.all)
        dma_.clear();
    else if (const auto done = dma_.unmap(request.address, request.size); !done)
        return std::unexpected(done.error());
    ByteWriter out;
    out.put(uint32_t{24}).put(request.all ? uint32_t{VFIO_DMA_UNMAP_FLAG_ALL} : 0);
    return Answer{out.put(request.address).put(request.size).take()};
}

FunctionServer::Result FunctionServer::handle(const vfio::GetInfoRequest & /*request*/)
{
    ByteWriter out;
    out.put(uint32_t{16}).put(uint32_t{VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET});
    return Answer{out.put(uint32_t{VFIO_PCI_NUM_REGIONS}).put(uint32_t{VFIO_PCI_NUM_IRQS}).take()};
}

FunctionServer::Result FunctionServer::handle(const vfio::GetRegionInfoRequest &request)
{
    return regions_->info(request.index, request.argsz).transform([](Regions::Info &&info) {
        return Answer{std::move(info.payload), info.fd};
    });
}

FunctionServer::Result FunctionServer::handle(const vfio::GetIrqInfoRequest &request)
{
    return interrupts_->info(request.index).transform([&](Interrupts::Info info) {
        return Answer{ByteWriter().put(uint32_t{16}).put(info.flags).put(request.index).put(info.count).take()};
    });
}

FunctionServer::Result FunctionServer::handle(const vfio::SetIrqsRequest &request)
{
    return interrupts_->set(request.flags, request.index, request.start, request.count, std::move(*received_))
        .transform([] { return Answer{}; });
}

FunctionServer::Result FunctionServer::handle(const vfio::RegionReadRequest &request)
{
    std::vector<std::byte> data(request.count);
    if (const auto done = regions_->read(request.region, request.offset, data); !done)
        return std::unexpected(done.error());
    ByteWriter out;
    return Answer{out.put(request.offset).put(request.region).put(request.count).put_bytes(data).take()};
}

FunctionServer::Result FunctionServer::handle(const vfio::RegionWriteRequest &request)
{
    const auto written = regions_->write(request.region, request.offset, request.data);
    if (!written)
        return std::unexpected(written.error());
    if (*written == Regions::Written::AskedForReset)
        reset();
    ByteWriter out;
    out.put(request.offset).put(request.region).put(static_cast<uint32_t>(request.data.size()));
    return Answer{out.take()};
}

FunctionServer::Result FunctionServer::handle(const vfio::ResetRequest & /*request*/)
{
    reset();
    return Answer{};
}

// The client may hold the lock under which it does our DMA until this is answered, and the function waits here for its
// workers: their DMA is called off first.
void FunctionServer::reset()
{
    remote_.suspend();
    regions_->reset();
    function_->reset();
    remote_.resume();
}

std::optional<std::string> FunctionServer::refusal(uint64_t address, size_t size) const
{
    if (size != 0 && size - 1 > std::numeric_limits<uint64_t>::max() - address)
        return "it goes beyond the last address";
    if (gone_)
        return "the machine is gone";
    if (!regions_->bus_master())
        return "the function is not bus master";
    return std::nullopt;
}

template <class Bytes>
std::expected<void, BusFault> FunctionServer::transfer(uint64_t address, Bytes bytes)
{
    if (auto reason = refusal(address, bytes.size()))
        return std::unexpected(BusFault{address, std::move(*reason)});
    while (!bytes.empty()) {
        const auto piece = move_in_table(dma_, address, bytes);
        if (piece.found == DmaTable::Found::ReadOnly)
            return std::unexpected(BusFault{address, "the memory there cannot be written"});
        if (piece.found == DmaTable::Found::Elsewhere) {
            if (std::this_thread::get_id() == server_thread_.load())
                return std::unexpected(BusFault{address, "asked of QEMU while QEMU waits for this function"});
            if (const auto moved = move_remotely(remote_, address, bytes.first(piece.size)); !moved)
                return std::unexpected(BusFault{address, describe(moved.error())});
        }
        address += piece.size;
        bytes = bytes.subspan(piece.size);
    }
    return {};
}

std::expected<void, BusFault> FunctionServer::dma_read(uint64_t bus_address, std::span<std::byte> into)
{
    return transfer(bus_address, into);
}

std::expected<void, BusFault> FunctionServer::dma_write(uint64_t bus_address, std::span<const std::byte> from)
{
    return transfer(bus_address, from);
}

void FunctionServer::interrupt(unsigned vector)
{
    interrupts_->raise(vector);
}

} // namespace gaudiemu
