// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "captureregs.h"

#include <cstdint>
#include <optional>
#include <string>

namespace gaudiemu::guest {

// The capture card's registers, read from its BAR past its driver.
class CardRegisters {
public:
    // Of the PCI function behind a video node.
    explicit CardRegisters(const std::string &node);
    ~CardRegisters();
    CardRegisters(const CardRegisters &) = delete;
    CardRegisters &operator=(const CardRegisters &) = delete;

    [[nodiscard]] bool valid() const { return words_ != nullptr; }
    [[nodiscard]] uint32_t read(uint32_t offset) const { return words_[offset / 4]; }

    // What the card wrote last under this number; nullopt: it does not know it (any more).
    [[nodiscard]] std::optional<uint32_t> crc(uint32_t number) const;

private:
    const volatile uint32_t *words_ = nullptr;
};

} // namespace gaudiemu::guest
