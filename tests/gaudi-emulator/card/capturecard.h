// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "captureregs.h"
#include "cardengine.h"
#include "framepainter.h"

#include <array>

namespace gaudiemu {

// The capture card of captureregs.h.
class CaptureCard final : public PciFunction {
public:
    explicit CaptureCard(std::optional<Film> film = std::nullopt);

    [[nodiscard]] ConfigSpaceInit identity() const override;
    [[nodiscard]] std::span<const Bar> bars() const override { return bars_; }
    [[nodiscard]] uint64_t read(unsigned bar, uint64_t offset, unsigned size) override;
    void write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
    void reset() override;

private:
    struct Logged {
        uint32_t number;
        uint32_t crc;
    };

    CardEngine::Outcome capture(const CardEngine::Buffer &buffer, uint32_t number, const std::stop_token &stop);
    [[nodiscard]] uint32_t read_word(uint32_t offset);
    [[nodiscard]] uint32_t read_log(uint32_t offset);
    void write_word(uint32_t offset, uint32_t value);
    void forget();

    const std::optional<Film> film_;
    const std::vector<Bar> bars_{Bar{.index = HL_CARD_BAR, .size = HL_CARD_BAR_BYTES, .mapped = {}}};

    std::mutex log_mutex_;
    std::array<Logged, HL_CAPTURE_LOG_ENTRIES> log_;
    Logged last_;
    uint32_t interval_ = HL_CAPTURE_INTERVAL_DEFAULT;

    // The worker's.
    std::optional<FramePainter> painter_;
    std::vector<std::byte> frame_;

    CardEngine engine_; // last: its worker uses all the others
};

} // namespace gaudiemu
