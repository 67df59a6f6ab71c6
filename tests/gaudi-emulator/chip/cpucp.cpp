// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/cpucp.h"
#include "chip/cpucpinfo.h"

#include <algorithm>
#include <array>
#include <format>

namespace gaudiemu::chip {

using namespace cpuinterface;

namespace {

// enum cpucp_packet_id.
enum Opcode : uint32_t {
    disable_pci_access = 1,
    enable_pci_access = 2,
    temperature_get = 3,
    voltage_get = 4,
    current_get = 5,
    fan_speed_get = 6,
    pwm_get = 7,
    pwm_set = 8,
    frequency_set = 9,
    frequency_get = 10,
    led_set = 11,
    info_get = 14,
    unmask_irq = 16,
    unmask_irq_array = 17,
    test = 18,
    frequency_curr_get = 19,
    max_power_get = 20,
    max_power_set = 21,
    eeprom_get = 22,
    temperature_set = 24,
    voltage_set = 25,
    current_set = 26,
    pcie_throughput_get = 27,
    pcie_replay_count_get = 28,
    total_energy_get = 29,
    pll_info_get = 30,
    power_get = 32,
    msi_info_set = 37,
    is_idle_check = 42,
    hbm_replaced_rows = 43,
    hbm_pending_rows = 44,
    power_set = 45,
    engine_core_asid_set = 47,
    active_status_set = 58,
    soft_reset = 64,
};

constexpr uint32_t reply_fault = 2; // enum cpucp_packet_rc
constexpr uint32_t reply_unknown_packet = 3;
constexpr uint32_t fence_value = 0xFE8CE7A5; // CPUCP_PACKET_FENCE_VAL
constexpr uint32_t ready_for_host = 2;       // enum pq_init_status
constexpr uint32_t descriptor_size = 16;

constexpr uint64_t millidegrees = 45'000;
constexpr uint64_t power_milliwatts = 100'000;
constexpr uint64_t max_power_milliwatts = 600'000;
constexpr uint64_t clock_megahertz = 1600;
constexpr uint64_t pll_output_megahertz = 25; // times four outputs; the last one counts the device's time

} // namespace

void CpuCp::interrupt(uint32_t id)
{
    if (id == layout_.irq_pi_update)
        worker_.post([this] { work(); });
    else if (id == layout_.irq_ints_register)
        events_.enable();
    else
        journal_.note(std::format("interrupt {} means nothing to the firmware", id));
}

void CpuCp::reset()
{
    ci_ = 0;
    faults_.revive_cpu();
}

void CpuCp::work()
{
    // gaudi2.c gaudi2_init_cpu_queues(), gaudi.c gaudi_init_cpu_queues()
    if (registers_.load(page_ + queue_init) == layout_.ready_for_cp) {
        ci_ = 0;
        registers_.store(page_ + queue_init, ready_for_host);
    }
    const uint32_t length = registers_.load(page_ + pq_length) / descriptor_size;
    if (!length)
        return;
    const uint64_t queue = registers_.load_pair(page_ + pq_base_lo, page_ + pq_base_hi);
    while (ci_ != registers_.load(page_ + pf_pq_pi) % (2 * length)) {
        struct {
            uint64_t address = 0;
            uint32_t size = 0;
            uint32_t control = 0;
        } descriptor;
        const uint64_t slot = queue + uint64_t{ci_ % length} * descriptor_size;
        if (!host_.read(slot, std::as_writable_bytes(std::span(&descriptor, 1)))) {
            journal_.fault(std::format("CPU queue: no descriptor at {:#x}", slot));
            return;
        }
        ci_ = (ci_ + 1) % (2 * length);
        if (!faults_.next_cpu_packet()) {
            journal_.note("CPU queue: a packet that is never answered");
            continue;
        }
        if (!answer(descriptor.address, descriptor.size))
            journal_.fault(std::format("CPU queue: no packet at {:#x}", descriptor.address));
    }
}

bool CpuCp::answer(uint64_t address, uint32_t size)
{
    Packet packet;
    const auto bytes = std::as_writable_bytes(std::span(&packet, 1));
    if (!host_.read(address, bytes.first(std::min<size_t>(size, bytes.size()))))
        return false;
    const auto reply = obey(packet);
    packet.value = reply.result;
    packet.control |= reply.code << 12;
    packet.fence = fence_value;
    // The answer first, the fence last: that is what the driver polls.
    return host_.write(address, bytes.first(12)) && host_.write(address + 12, bytes.subspan(12, 4));
}

CpuCp::Reply CpuCp::obey(const Packet &packet)
{
    switch (const uint32_t opcode = packet.control >> 16 & 0x1fff) {
    case disable_pci_access: // hl_fw_send_pci_access_msg()
        interrupts_.set_virtual_doorbell(0);
        return {};
    case enable_pci_access:
        interrupts_.set_virtual_doorbell(packet.value);
        return {};
    case test: // hl_fw_test_cpu_queue(), hl_fw_send_heartbeat()
        return {.result = packet.value};
    case info_get: // hl_fw_cpucp_info_get()
        return give(packet.value, packet.parameter, make_cpucp_info(layout_));
    case eeprom_get: { // hl_fw_get_eeprom_data(): the result is the size
        constexpr std::array<std::byte, 16> eeprom{};
        auto reply = give(packet.value, packet.parameter, eeprom);
        reply.result = reply.code ? 0 : eeprom.size();
        return reply;
    }
    case temperature_get:
        return {.result = millidegrees};
    case power_get: // hl_fw_cpucp_power_get()
        return {.result = power_milliwatts};
    case max_power_get: // hl_fw_get_max_power()
        return {.result = max_power_milliwatts};
    case frequency_get: // hl_fw_get_frequency()
    case frequency_curr_get:
        return {.result = clock_megahertz * 1'000'000};
    case pll_info_get: // hl_fw_cpucp_pll_info_get(): four 16-bit frequencies
        return {.result = pll_output_megahertz * 0x0001000100010001};
    case soft_reset: // hl_fw_send_soft_reset()
        if (!compute_reset_)
            return unknown(opcode);
        journal_.note("compute reset");
        compute_reset_();
        return {};
    case voltage_get:
    case current_get:
    case fan_speed_get:
    case pwm_get:
    case pwm_set:
    case frequency_set:
    case led_set:
    case unmask_irq:
    case unmask_irq_array:
    case max_power_set:
    case temperature_set:
    case voltage_set:
    case current_set:
    case pcie_throughput_get:
    case pcie_replay_count_get:
    case total_energy_get:
    case msi_info_set:
    case is_idle_check:
    case hbm_replaced_rows:
    case hbm_pending_rows:
    case power_set:
    case engine_core_asid_set: // there are no ARCs
    case active_status_set:
        return {};
    default:
        return unknown(opcode);
    }
}

CpuCp::Reply CpuCp::unknown(uint32_t opcode)
{
    journal_.fault(std::format("CPU queue: packet {} is not built", opcode));
    return {.code = reply_unknown_packet};
}

CpuCp::Reply CpuCp::give(uint64_t address, uint32_t limit, std::span<const std::byte> bytes)
{
    if (!host_.write(address, bytes.first(std::min<size_t>(bytes.size(), limit))))
        return {.code = reply_fault};
    return {};
}

} // namespace gaudiemu::chip
