// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/commsdescriptor.h"
#include "chip/registers.h"

#include <algorithm>
#include <cstring>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

// Offsets in struct lkd_fw_comms_desc.
constexpr size_t header_size = 16;
constexpr size_t registers = header_size; // struct cpu_dyn_regs: 58 words
constexpr size_t fuse_version = 248;
constexpr size_t current_version = 376;
constexpr size_t image_address = 632;
constexpr size_t first_message = 728; // struct lkd_fw_ascii_msg: valid, level, 6 unused bytes, text
constexpr size_t text_size = 128;

constexpr uint32_t magic = 0x4843444D; // HL_COMMS_DESC_MAGIC
constexpr uint8_t version_of_layout = 3;
constexpr uint8_t level_info = 2; // LKD_FW_ASCII_MSG_INF

// struct cpu_dyn_regs, by word.
constexpr std::array<std::pair<size_t, uint32_t>, 30> register_words{
    {{0, cpuif::pq_base_lo},    {1, cpuif::pq_base_hi},    {2, cpuif::pq_length},      {3, cpuif::queue_init},
     {4, cpuif::eq_base_lo},    {5, cpuif::eq_base_hi},    {6, cpuif::eq_length},      {7, cpuif::eq_read},
     {8, cpuif::cq_base_lo},    {9, cpuif::cq_base_hi},    {10, cpuif::cq_length},     {11, cpuif::pf_pq_pi},
     {12, psoc::dev_sts0},      {13, psoc::dev_sts1},      {14, psoc::boot_err0},      {15, psoc::boot_err1},
     {16, psoc::boot_status},   {23, cpuif::hw_state},     {24, psoc::kmd_msg_to_cpu}, {25, psoc::cmd_status_to_host},
     {26, psoc::pi_update_irq}, {27, psoc::tpc_qm_irq},    {28, psoc::mme_qm_irq},     {29, psoc::dma_qm_irq},
     {30, psoc::nic_qm_irq},    {31, psoc::dma_core_irq},  {32, psoc::halt_irq},       {33, psoc::ints_irq},
     {35, psoc::rot_qm_irq},    {37, psoc::engine_arc_irq}}};

} // namespace

CommsDescriptor::CommsDescriptor(std::string_view version, uint64_t image)
{
    for (const auto &[word, reg] : register_words)
        put(registers + word * 4, reg);
    put_text(fuse_version, "emulated-gaudi fuses");
    put_text(current_version, version);
    put(image_address, image);
    put(first_message, uint8_t{1});
    put(first_message + 1, level_info);
    put_text(first_message + 8, "emulated-gaudi: this is an emulator's firmware");

    put(0, magic);
    put(4, crc32(std::span(bytes_).subspan(header_size)));
    put(8, static_cast<uint16_t>(size - header_size));
    put(10, version_of_layout);
}

// The common CRC-32 (IEEE 802.3); the driver flips the kernel's crc32_le() into the same (hl_fw_compat_crc32()).
uint32_t CommsDescriptor::crc32(std::span<const std::byte> bytes) noexcept
{
    uint32_t crc = ~uint32_t{0};
    for (const std::byte byte : bytes) {
        crc ^= static_cast<uint32_t>(byte);
        for (int bit = 0; bit < 8; ++bit)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

template <typename T>
void CommsDescriptor::put(size_t offset, T value)
{
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
}

void CommsDescriptor::put_text(size_t offset, std::string_view text)
{
    std::memcpy(bytes_.data() + offset, text.data(), std::min(text.size(), text_size - 1));
}

} // namespace gaudiemu::chip
