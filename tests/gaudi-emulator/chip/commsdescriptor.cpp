// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/commsdescriptor.h"

#include <algorithm>
#include <cstring>

namespace gaudiemu::chip {

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

// struct cpu_dyn_regs, by word: offsets in the two pages.
constexpr std::array<std::pair<size_t, uint32_t>, 12> cpuif_words{{{0, cpuinterface::pq_base_lo},
                                                                   {1, cpuinterface::pq_base_hi},
                                                                   {2, cpuinterface::pq_length},
                                                                   {3, cpuinterface::queue_init},
                                                                   {4, cpuinterface::eq_base_lo},
                                                                   {5, cpuinterface::eq_base_hi},
                                                                   {6, cpuinterface::eq_length},
                                                                   {7, cpuinterface::eq_read},
                                                                   {8, cpuinterface::cq_base_lo},
                                                                   {9, cpuinterface::cq_base_hi},
                                                                   {10, cpuinterface::cq_length},
                                                                   {11, cpuinterface::pf_pq_pi}}};
constexpr std::array<std::pair<size_t, uint32_t>, 17> psoc_words{{{12, scratchpad::dev_sts0},
                                                                  {13, scratchpad::dev_sts1},
                                                                  {14, scratchpad::boot_err0},
                                                                  {15, scratchpad::boot_err1},
                                                                  {16, scratchpad::boot_status},
                                                                  {24, scratchpad::kmd_msg_to_cpu},
                                                                  {25, scratchpad::cmd_status_to_host},
                                                                  {26, scratchpad::pi_update_irq},
                                                                  {27, scratchpad::tpc_qm_irq},
                                                                  {28, scratchpad::mme_qm_irq},
                                                                  {29, scratchpad::dma_qm_irq},
                                                                  {30, scratchpad::nic_qm_irq},
                                                                  {31, scratchpad::dma_core_irq},
                                                                  {32, scratchpad::halt_irq},
                                                                  {33, scratchpad::ints_irq},
                                                                  {35, scratchpad::rot_qm_irq},
                                                                  {37, scratchpad::engine_arc_irq}}};
constexpr size_t hw_state_word = 23;

} // namespace

CommsDescriptor::CommsDescriptor(const FirmwareLayout &layout, std::string_view version)
{
    for (const auto &[word, offset] : cpuif_words)
        put(registers + word * 4, layout.cpuif_page + offset);
    for (const auto &[word, offset] : psoc_words)
        put(registers + word * 4, layout.psoc_page + offset);
    put(registers + hw_state_word * 4, layout.hw_state);
    put_text(fuse_version, "emulated-gaudi fuses");
    put_text(current_version, version);
    put(image_address, layout.image_address);
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
