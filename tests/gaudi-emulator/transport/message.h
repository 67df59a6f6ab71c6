// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "transport/bytes.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <variant>
#include <vector>

// The messages of the vfio-user protocol (QEMU: docs/interop/vfio-user.rst), without a socket: what a client's bytes
// mean, and the bytes of what a server says. Everything that comes from outside is checked here; what parse_request()
// returns has the shape that its type says, only its values (a region, an address) remain to be judged.
namespace gaudiemu::vfio {

inline constexpr size_t header_size = 16;
// Bytes that one message may move; this server announces it, and it is the protocol's default for a client.
inline constexpr uint32_t max_data_size = 1U << 20;
// A longer message cannot be meant seriously: the largest fixed part is 32 bytes.
inline constexpr uint32_t max_message_size = header_size + 32 + max_data_size;
inline constexpr size_t max_fds = 16;
inline constexpr uint32_t max_dma_maps = 65535;
inline constexpr uint64_t page_size = 4096;

enum class Command : uint16_t {
    Version = 1,
    DmaMap = 2,
    DmaUnmap = 3,
    GetInfo = 4,
    GetRegionInfo = 5,
    GetRegionIoFds = 6,
    GetIrqInfo = 7,
    SetIrqs = 8,
    RegionRead = 9,
    RegionWrite = 10,
    DmaRead = 11,
    DmaWrite = 12,
    Reset = 13,
    RegionWriteMulti = 15,
    DeviceFeature = 16,
};

struct Header {
    uint16_t id = 0;
    uint16_t command = 0;        // a Command, or anything
    uint32_t size = header_size; // of the whole message
    bool reply = false;
    bool no_reply = false;    // a request that wants no answer
    std::optional<int> error; // an errno, of a reply
};

// nullopt: nothing that follows such a header in the stream can be trusted.
[[nodiscard]] std::optional<Header> parse_header(std::span<const std::byte, header_size> bytes);

struct VersionRequest {
    uint16_t major = 0;
    uint16_t minor = 0;
    uint32_t max_data_size = 0; // what the client takes in one message
};
struct DmaMapRequest {
    bool writable = false;
    uint64_t offset = 0; // in the descriptor that came along, if one did
    uint64_t address = 0;
    uint64_t size = 0;
};
struct DmaUnmapRequest {
    bool all = false;
    uint64_t address = 0;
    uint64_t size = 0;
};
struct GetInfoRequest {};
struct GetRegionInfoRequest {
    uint32_t argsz = 0; // payload bytes that the client has room for, at least 32
    uint32_t index = 0;
};
struct GetIrqInfoRequest {
    uint32_t index = 0;
};
struct SetIrqsRequest {
    uint32_t flags = 0;
    uint32_t index = 0;
    uint32_t start = 0;
    uint32_t count = 0; // equal to the number of descriptors that came, if any came
};
struct RegionReadRequest {
    uint64_t offset = 0;
    uint32_t region = 0;
    uint32_t count = 0; // at most max_data_size
};
struct RegionWriteRequest {
    uint64_t offset = 0;
    uint32_t region = 0;
    std::span<const std::byte> data; // of the message that was parsed
};
struct ResetRequest {};

using Request = std::variant<VersionRequest, DmaMapRequest, DmaUnmapRequest, GetInfoRequest, GetRegionInfoRequest,
                             GetIrqInfoRequest, SetIrqsRequest, RegionReadRequest, RegionWriteRequest, ResetRequest>;

// What a request says, or the errno of the answer to one that is malformed or not served. `payload` is what follows the
// header, header.size - header_size bytes; `fds` counts the descriptors that came along.
[[nodiscard]] std::expected<Request, int> parse_request(const Header &header, std::span<const std::byte> payload,
                                                        size_t fds);

// The data in the answer to a DMA read of `count` bytes, or its errno.
[[nodiscard]] std::expected<std::span<const std::byte>, int>
parse_dma_read_reply(const Header &header, std::span<const std::byte> payload, size_t count);

// Whole messages.
[[nodiscard]] std::vector<std::byte> make_reply(const Header &request, std::span<const std::byte> payload = {});
[[nodiscard]] std::vector<std::byte> make_error_reply(const Header &request, int error);
[[nodiscard]] std::vector<std::byte> make_dma_read(uint16_t id, uint64_t address, uint32_t count);
[[nodiscard]] std::vector<std::byte> make_dma_write(uint16_t id, uint64_t address, std::span<const std::byte> data);

// What the server answers to a version: major 0 and its own limits.
[[nodiscard]] std::vector<std::byte> version_payload();

} // namespace gaudiemu::vfio
