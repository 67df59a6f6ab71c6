// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/message.h"

#include <nlohmann/json.hpp>

#include <linux/vfio.h>

#include <cerrno>
#include <limits>
#include <string_view>

namespace gaudiemu::vfio {
namespace {

constexpr uint32_t type_mask = 0xF;
constexpr uint32_t type_request = 0;
constexpr uint32_t type_reply = 1;
constexpr uint32_t flag_no_reply = 0x10;
constexpr uint32_t flag_error = 0x20;

constexpr size_t max_version_text = 4096;

// Flags of DMA_MAP and DMA_UNMAP are those of the ioctls.
constexpr uint32_t dma_map_flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

constexpr auto malformed = std::unexpected(EINVAL);

void put_header(ByteWriter &to, uint16_t id, uint16_t command, size_t size, uint32_t flags, uint32_t error)
{
    to.put(id).put(command).put(static_cast<uint32_t>(size)).put(flags).put(error);
}

// The limit that a client's JSON names; the protocol's default if it names none.
std::expected<uint32_t, int> max_data_size_of(std::span<const std::byte> text)
{
    if (text.empty())
        return max_data_size;
    if (text.size() > max_version_text || text.back() != std::byte{0})
        return malformed;
    const std::string_view view(reinterpret_cast<const char *>(text.data()), text.size() - 1);
    const auto json = nlohmann::json::parse(view, nullptr, false);
    if (!json.is_object())
        return malformed;
    const auto capabilities = json.find("capabilities");
    if (capabilities == json.end())
        return max_data_size;
    if (!capabilities->is_object())
        return malformed;
    const auto size = capabilities->find("max_data_xfer_size");
    if (size == capabilities->end())
        return max_data_size;
    if (!size->is_number_unsigned() || size->get<uint64_t>() == 0)
        return malformed;
    return static_cast<uint32_t>(std::min<uint64_t>(size->get<uint64_t>(), max_data_size));
}

std::expected<Request, int> parse_version(ByteReader in)
{
    const auto major = in.next<uint16_t>();
    const auto minor = in.next<uint16_t>();
    if (!minor)
        return malformed;
    const auto size = max_data_size_of(in.rest());
    if (!size)
        return std::unexpected(size.error());
    return VersionRequest{.major = *major, .minor = *minor, .max_data_size = *size};
}

// Page-aligned, not empty, and without an end beyond the last address.
bool is_range(uint64_t address, uint64_t size)
{
    return size != 0 && (address | size) % page_size == 0 && size - 1 <= std::numeric_limits<uint64_t>::max() - address;
}

std::expected<Request, int> parse_dma_map(ByteReader in, size_t fds)
{
    const auto argsz = in.next<uint32_t>();
    const auto flags = in.next<uint32_t>();
    const auto offset = in.next<uint64_t>();
    const auto address = in.next<uint64_t>();
    const auto size = in.next<uint64_t>();
    if (!argsz || !size || !in.rest().empty() || fds > 1 || (*flags & ~dma_map_flags) != 0 ||
        !is_range(*address, *size) || (fds == 1 && !is_range(*offset, *size)))
        return malformed;
    return DmaMapRequest{
        .writable = (*flags & VFIO_DMA_MAP_FLAG_WRITE) != 0, .offset = *offset, .address = *address, .size = *size};
}

std::expected<Request, int> parse_dma_unmap(ByteReader in)
{
    const auto argsz = in.next<uint32_t>();
    const auto flags = in.next<uint32_t>();
    const auto address = in.next<uint64_t>();
    const auto size = in.next<uint64_t>();
    if (!argsz || !size || !in.rest().empty() || (*flags & ~uint32_t{VFIO_DMA_UNMAP_FLAG_ALL}) != 0)
        return malformed;
    const bool all = *flags != 0;
    if (all ? (*address | *size) != 0 : !is_range(*address, *size))
        return malformed;
    return DmaUnmapRequest{.all = all, .address = *address, .size = *size};
}

// argsz and the three words that the four queries and SET_IRQS begin with.
std::expected<Request, int> parse_get_info(ByteReader in)
{
    const auto argsz = in.next<uint32_t>();
    if (!argsz || *argsz < sizeof(uint32_t) * 4)
        return malformed;
    return GetInfoRequest{};
}

std::expected<Request, int> parse_get_region_info(ByteReader in)
{
    const auto argsz = in.next<uint32_t>();
    const auto flags = in.next<uint32_t>();
    const auto index = in.next<uint32_t>();
    if (!argsz || !flags || !index || *argsz < sizeof(vfio_region_info))
        return malformed;
    return GetRegionInfoRequest{.argsz = *argsz, .index = *index};
}

std::expected<Request, int> parse_get_irq_info(ByteReader in)
{
    const auto argsz = in.next<uint32_t>();
    const auto flags = in.next<uint32_t>();
    const auto index = in.next<uint32_t>();
    if (!argsz || !flags || !index || *argsz < sizeof(vfio_irq_info))
        return malformed;
    return GetIrqInfoRequest{.index = *index};
}

std::expected<Request, int> parse_set_irqs(ByteReader in, size_t fds)
{
    const auto argsz = in.next<uint32_t>();
    const auto flags = in.next<uint32_t>();
    const auto index = in.next<uint32_t>();
    const auto start = in.next<uint32_t>();
    const auto count = in.next<uint32_t>();
    if (!argsz || !count || (fds != 0 && ((*flags & VFIO_IRQ_SET_DATA_EVENTFD) == 0 || fds != *count)))
        return malformed;
    return SetIrqsRequest{.flags = *flags, .index = *index, .start = *start, .count = *count};
}

std::expected<Request, int> parse_region_access(ByteReader in, bool write)
{
    const auto offset = in.next<uint64_t>();
    const auto region = in.next<uint32_t>();
    const auto count = in.next<uint32_t>();
    if (!count || *count == 0 || in.rest().size() != (write ? *count : 0))
        return malformed;
    if (*count > max_data_size)
        return std::unexpected(E2BIG);
    if (write)
        return RegionWriteRequest{.offset = *offset, .region = *region, .data = in.rest()};
    return RegionReadRequest{.offset = *offset, .region = *region, .count = *count};
}

bool takes_fds(Command command)
{
    return command == Command::DmaMap || command == Command::SetIrqs;
}

} // namespace

std::optional<Header> parse_header(std::span<const std::byte, header_size> bytes)
{
    ByteReader in(bytes);
    Header header;
    header.id = *in.next<uint16_t>();
    header.command = *in.next<uint16_t>();
    header.size = *in.next<uint32_t>();
    const auto flags = *in.next<uint32_t>();
    const auto error = *in.next<uint32_t>();
    const auto type = flags & type_mask;
    if (header.size < header_size || header.size > max_message_size || (type != type_request && type != type_reply))
        return std::nullopt;
    header.reply = type == type_reply;
    header.no_reply = !header.reply && (flags & flag_no_reply) != 0;
    if (header.reply && (flags & flag_error) != 0)
        header.error = error != 0 && error < 4096 ? static_cast<int>(error) : EIO;
    return header;
}

std::expected<Request, int> parse_request(const Header &header, std::span<const std::byte> payload, size_t fds)
{
    const auto command = static_cast<Command>(header.command);
    if (fds != 0 && !takes_fds(command))
        return malformed;
    const ByteReader in(payload);
    switch (command) {
    case Command::Version:
        return parse_version(in);
    case Command::DmaMap:
        return parse_dma_map(in, fds);
    case Command::DmaUnmap:
        return parse_dma_unmap(in);
    case Command::GetInfo:
        return parse_get_info(in);
    case Command::GetRegionInfo:
        return parse_get_region_info(in);
    case Command::GetIrqInfo:
        return parse_get_irq_info(in);
    case Command::SetIrqs:
        return parse_set_irqs(in, fds);
    case Command::RegionRead:
    case Command::RegionWrite:
        return parse_region_access(in, command == Command::RegionWrite);
    case Command::Reset:
        return payload.empty() ? std::expected<Request, int>(ResetRequest{}) : malformed;
    case Command::DeviceFeature:
        // What the ioctl answers for a feature that a device does not have; none of them is offered here.
        return std::unexpected(ENOTTY);
    case Command::GetRegionIoFds:
    case Command::RegionWriteMulti:
    case Command::DmaRead:
    case Command::DmaWrite:
        break;
    }
    return std::unexpected(ENOSYS);
}

// Address and count of a DMA_READ or DMA_WRITE, both of 64 bits; the data follow. So says the text of the protocol, and
// so does QEMU 11.1.3; the first versions of QEMU with these messages had a count of 32 bits with the data right behind
// it (hw/vfio-user/protocol.h VFIOUserDMARW), and are not served.
namespace {
constexpr size_t dma_fixed_size = 16;
} // namespace

std::expected<std::span<const std::byte>, int> parse_dma_read_reply(const Header &header,
                                                                    std::span<const std::byte> payload, size_t count)
{
    if (header.error)
        return std::unexpected(*header.error);
    if (header.command != static_cast<uint16_t>(Command::DmaRead) || payload.size() != dma_fixed_size + count)
        return std::unexpected(EIO);
    return payload.subspan(dma_fixed_size, count);
}

std::vector<std::byte> make_dma_read(uint16_t id, uint64_t address, uint32_t count)
{
    ByteWriter out;
    put_header(out, id, static_cast<uint16_t>(Command::DmaRead), header_size + dma_fixed_size, type_request, 0);
    out.put(address).put(uint64_t{count});
    return out.take();
}

std::vector<std::byte> make_dma_write(uint16_t id, uint64_t address, std::span<const std::byte> data)
{
    ByteWriter out;
    put_header(out, id, static_cast<uint16_t>(Command::DmaWrite), header_size + dma_fixed_size + data.size(),
               type_request, 0);
    out.put(address).put(uint64_t{data.size()}).put_bytes(data);
    return out.take();
}

std::vector<std::byte> make_reply(const Header &request, std::span<const std::byte> payload)
{
    ByteWriter out;
    put_header(out, request.id, request.command, header_size + payload.size(), type_reply, 0);
    out.put_bytes(payload);
    return out.take();
}

std::vector<std::byte> make_error_reply(const Header &request, int error)
{
    ByteWriter out;
    put_header(out, request.id, request.command, header_size, type_reply | flag_error, static_cast<uint32_t>(error));
    return out.take();
}

std::vector<std::byte> version_payload()
{
    const nlohmann::json json = {{"capabilities",
                                  {{"max_msg_fds", max_fds},
                                   {"max_data_xfer_size", max_data_size},
                                   {"pgsizes", page_size},
                                   {"max_dma_maps", max_dma_maps}}}};
    const auto text = json.dump();
    ByteWriter out;
    out.put(uint16_t{0}).put(uint16_t{0});
    out.put_bytes(std::as_bytes(std::span(text.c_str(), text.size() + 1)));
    return out.take();
}

} // namespace gaudiemu::vfio
