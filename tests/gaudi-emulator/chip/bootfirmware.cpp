// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/bootfirmware.h"
#include "chip/commsdescriptor.h"

#include <algorithm>
#include <cstring>
#include <format>

namespace gaudiemu::chip {

using namespace scratchpad;

namespace {

// include/linux/habanalabs/hl_boot_if.h enum cpu_boot_status.
constexpr uint32_t status_none = 0;
constexpr uint32_t status_linux = 3; // SRAM_AVAIL
constexpr uint32_t status_in_uboot = 7;
constexpr uint32_t status_boot_fit = 15; // READY_TO_BOOT
constexpr uint32_t status_wait_boot_fit = 16;

constexpr uint32_t device_status1 = 0x80000000; // CPU_BOOT_DEV_STS1: valid
// CPU_BOOT_ERR0: valid, and the DRAM or the image at fault.
constexpr uint32_t error_dram = 0x80000001;
constexpr uint32_t error_fit = 0x80000002;

// enum comms_cmd.
enum Command : uint32_t {
    comms_noop = 0,
    comms_clear_status = 1,
    comms_reset_state = 2,
    comms_prepare_descriptor = 3,
    comms_data_ready = 4,
    comms_execute = 5,
    comms_reset_device = 6,
};

constexpr uint32_t descriptor_in_sram = 0x1000;

} // namespace

void BootFirmware::reset()
{
    const std::lock_guard lock(mutex_);
    stage_ = Stage::Preboot;
    pending_ = Answer::None;
    prepared_ = false;
    image_ready_ = false;
    image_size_ = 0;
    registers_.store(page_ + dev_sts0, layout_.device_status0);
    registers_.store(page_ + dev_sts1, device_status1);
    registers_.store(page_ + boot_err0, faults_.firmware() == FirmwareFault::Preboot ? error_dram : 0);
    registers_.store(page_ + boot_err1, 0);
    registers_.store(page_ + cmd_status_to_host, 0);
    registers_.store(page_ + boot_status, status_wait_boot_fit); // last: hl_fw_wait_preboot_ready() polls it
}

BootFirmware::Stage BootFirmware::stage() const
{
    const std::lock_guard lock(mutex_);
    return stage_;
}

void BootFirmware::write(uint32_t reg, uint32_t value, Origin)
{
    registers_.store(reg, value);
    if (reg == page_ + kmd_msg_to_cpu) {
        command(value);
    } else if (reg == page_ + pi_update_irq || reg == page_ + halt_irq || reg == page_ + ints_irq) {
        if (stage() != Stage::Linux)
            journal_.note(std::format("interrupt {} with no firmware to take it", value));
        else if (value == layout_.irq_halt_machine) // gaudi2.c gaudi2_send_hard_reset_cmd(), gaudi.c gaudi_hw_fini()
            ask_for_reset("the driver halts the machine");
        else
            listener_.interrupt(value);
    }
}

// Each command of the driver is: clear the status, command, see ACK, clear, NOOP, and for most see OK (firmware_if.c
// hl_fw_dynamic_send_protocol_cmd()).
void BootFirmware::command(uint32_t word)
{
    const uint32_t command = word >> 27;
    if (command == comms_reset_device) { // hl_fw_ask_hard_reset_without_linux()
        registers_.store(page_ + cmd_status_to_host, static_cast<uint32_t>(Answer::Ack) << 28);
        ask_for_reset("COMMS_RST_DEV");
        return;
    }
    const std::lock_guard lock(mutex_);
    switch (command) {
    case comms_noop:
        if (pending_ != Answer::None)
            publish(pending_);
        pending_ = Answer::None;
        prepared_ = false;
        return;
    case comms_clear_status:
        registers_.store(page_ + cmd_status_to_host, 0);
        return;
    default:
        pending_ = obey(command, word & 0x1ffffff);
        registers_.store(page_ + cmd_status_to_host, static_cast<uint32_t>(Answer::Ack) << 28);
    }
}

BootFirmware::Answer BootFirmware::obey(uint32_t command, uint32_t size)
{
    switch (command) {
    case comms_reset_state:
        image_ready_ = false;
        return Answer::Ok;
    case comms_prepare_descriptor:
        prepare(size);
        return Answer::Ok;
    case comms_data_ready: {
        const auto answer = check_image();
        image_ready_ = answer == Answer::Ok;
        return answer;
    }
    case comms_execute:
        return execute();
    default:
        journal_.fault(std::format("COMMS command {}", command));
        return Answer::Error;
    }
}

void BootFirmware::prepare(uint32_t size)
{
    const CommsDescriptor descriptor(layout_,
                                     stage_ == Stage::Preboot ? layout_.preboot_version : layout_.boot_fit_version);
    std::memcpy(registers_.at(layout_.sram_base + descriptor_in_sram, CommsDescriptor::size), descriptor.bytes().data(),
                CommsDescriptor::size);
    image_size_ = size;
    image_ready_ = false;
    prepared_ = true;
    // What was there before must not pass for the next image.
    hbm_.fill(layout_.image_address, size, 0);
}

BootFirmware::Answer BootFirmware::check_image() const
{
    if (stage_ == Stage::Preboot && faults_.firmware() == FirmwareFault::BootFit) {
        registers_.store(page_ + boot_err0, error_fit);
        return Answer::InvalidImage;
    }
    const std::byte *const image = hbm_.at(layout_.image_address, image_size_);
    if (image && std::any_of(image, image + image_size_, [](std::byte b) { return b != std::byte{0}; }))
        return Answer::Ok;
    journal_.fault(std::format("no image of {} bytes has arrived", image_size_));
    return Answer::InvalidImage;
}

BootFirmware::Answer BootFirmware::execute()
{
    if (!image_ready_)
        return Answer::Error;
    image_ready_ = false;
    uint32_t first = 0;
    std::memcpy(&first, hbm_.at(layout_.image_address, sizeof first), sizeof first);
    if (image_size_ == CommsDescriptor::size && CommsDescriptor::is_message(first)) {
        journal_.note("the driver tells why it reset the chip"); // hl_fw_dynamic_send_msg()
        return Answer::Ok;
    }
    if (stage_ == Stage::Preboot) {
        stage_ = Stage::BootFit;
        registers_.store(page_ + boot_status, status_boot_fit);
    } else if (faults_.firmware() == FirmwareFault::Linux) {
        registers_.store(page_ + boot_err0, error_fit);
        registers_.store(page_ + boot_status, status_in_uboot);
    } else {
        stage_ = Stage::Linux;
        registers_.store(page_ + boot_status, status_linux);
    }
    return Answer::Ok;
}

void BootFirmware::publish(Answer answer)
{
    uint32_t word = static_cast<uint32_t>(answer) << 28; // struct comms_status; RAM type 0 is SRAM
    if (prepared_)
        word |= descriptor_in_sram / 4;
    registers_.store(page_ + cmd_status_to_host, word);
}

void BootFirmware::ask_for_reset(std::string_view why)
{
    journal_.note(std::format("hard reset: {}", why));
    registers_.store(page_ + boot_status, status_none);
    listener_.hard_reset();
}

} // namespace gaudiemu::chip
