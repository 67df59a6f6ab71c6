// SPDX-License-Identifier: LGPL-2.1-or-later
#include "habanalabs/nodecalls.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>
#include <sstream>
#include <string>

namespace hl::habanalabs {

Sys<uint32_t> device_status(const Node &node)
{
    return node_info<uapi::DeviceStatus>(node, uapi::info_device_status).transform([](const auto &s) {
        return s.status;
    });
}

bool status_says_lost(uint32_t status) noexcept
{
    return status != uapi::status_operational && status != uapi::status_in_device_creation;
}

std::string_view status_text(uint32_t status) noexcept
{
    constexpr std::array<std::string_view, 6> texts{"operational", "in reset",    "malfunction",
                                                    "needs reset", "in creation", "in reset after its release"};
    return status < texts.size() ? texts[status] : "in trouble";
}

Sys<uapi::OpenStats> open_stats(const Node &node)
{
    return node_info<uapi::OpenStats>(node, uapi::info_open_stats);
}

Sys<UniqueFd> export_memory(const Node &node, uint64_t address, uint64_t bytes, uint64_t offset)
{
    const uapi::MemArgs args{
        .word = {address, bytes, offset}, .op = uapi::mem_export, .flags = O_RDWR | O_CLOEXEC, .ctx_id = 0, .count = 0};
    return node_call(node.fd, node.numbers.memory, args).transform([](const auto &out) {
        return UniqueFd(static_cast<int>(out.word[0] & 0xffffffff));
    });
}

Sys<void> flush_inbound_writes(const Node &node)
{
    uapi::CsArgs args{};
    args.flags = uapi::cs_flush_pci_hbw_writes;
    if (auto done = node_call(node.fd, node.numbers.cs, args); !done)
        return std::unexpected(done.error());
    return {};
}

std::optional<uint64_t> open_files(int dmabuf)
{
    const UniqueFd file(::open(std::format("/proc/self/fdinfo/{}", dmabuf).c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 4096> text{}; // a dma-buf's has some 150 bytes, and a name
    const ssize_t bytes = file ? ::read(file.get(), text.data(), text.size()) : -1;
    std::istringstream info(std::string(text.data(), static_cast<size_t>(std::max<ssize_t>(bytes, 0))));
    std::string word;
    while (info >> word)
        if (uint64_t count = 0; word == "count:" && info >> count)
            return count;
    return std::nullopt;
}

} // namespace hl::habanalabs
