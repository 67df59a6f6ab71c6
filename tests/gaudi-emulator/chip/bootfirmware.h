// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/chipfaults.h"
#include "chip/firmwarelayout.h"
#include "chip/hbm.h"
#include "chip/journal.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"
#include "chip/resettable.h"

#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>

namespace gaudiemu::chip {

// The boot loaders: preboot, which lets the driver load the boot fit, which lets it load Linux (firmware_if.c
// hl_fw_dynamic_init_cpu(), the "COMMS" protocol of include/linux/habanalabs/hl_boot_if.h), and the scratch pad
// registers by which driver and firmware talk. The images are not looked at, but they must have arrived.
class BootFirmware final : public RegisterBlock, public Resettable {
public:
    enum class Stage : uint8_t { Preboot, BootFit, Linux };

    struct Listener {
        std::function<void(uint32_t id)> interrupt; // the driver rings the CPU, Linux runs
        std::function<void()> hard_reset; // the driver wants one; BOOT_STATUS says already that nobody is there
    };

    BootFirmware(const FirmwareLayout &layout, RegisterFile &registers, const Hbm &hbm, const ChipFaults &faults,
                 Journal &journal)
        : layout_(layout), page_(layout.psoc_page), registers_(registers), hbm_(hbm), faults_(faults), journal_(journal)
    {}

    // Before the first access.
    void listen(Listener listener) { listener_ = std::move(listener); }
    // Power-on: with the registers cleared.
    void reset() override;
    [[nodiscard]] Stage stage() const;

    [[nodiscard]] uint32_t read(uint32_t reg) override { return registers_.load(reg); }
    void write(uint32_t reg, uint32_t value, Origin origin) override;

private:
    enum class Answer : uint8_t { None = 0, Ack = 1, Ok = 2, Error = 3, InvalidImage = 4 }; // enum comms_sts

    void command(uint32_t word);
    [[nodiscard]] Answer obey(uint32_t command, uint32_t size);
    void prepare(uint32_t size);
    [[nodiscard]] Answer check_image() const;
    [[nodiscard]] Answer execute();
    void publish(Answer answer);
    void ask_for_reset(std::string_view why);

    const FirmwareLayout layout_;
    const uint32_t page_;
    RegisterFile &registers_;
    const Hbm &hbm_;
    const ChipFaults &faults_;
    Journal &journal_;
    Listener listener_;
    mutable std::mutex mutex_;
    Stage stage_ = Stage::Preboot;
    Answer pending_ = Answer::None; // published when the driver has seen the acknowledgement
    bool prepared_ = false;         // the pending answer tells where the descriptor lies
    bool image_ready_ = false;
    uint32_t image_size_ = 0;
};

} // namespace gaudiemu::chip
