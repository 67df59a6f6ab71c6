// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "cardengine.h"
#include "scanoutregs.h"

namespace gaudiemu {

// The scan-out engine of scanoutregs.h.
class ScanoutEngine final : public PciFunction {
public:
    ScanoutEngine();

    [[nodiscard]] ConfigSpaceInit identity() const override;
    [[nodiscard]] std::span<const Bar> bars() const override { return bars_; }
    [[nodiscard]] uint64_t read(unsigned bar, uint64_t offset, unsigned size) override;
    void write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
    void reset() override;

private:
    CardEngine::Outcome scan(const CardEngine::Buffer &buffer, const std::stop_token &stop);

    const std::vector<Bar> bars_{Bar{.index = HL_CARD_BAR, .size = HL_CARD_BAR_BYTES, .mapped = {}}};
    std::vector<std::byte> frame_; // the worker's
    CardEngine engine_;            // last: its worker uses all the others
};

} // namespace gaudiemu
