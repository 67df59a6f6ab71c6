// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/elbi.h"

#include <format>

namespace gaudiemu::chip {
namespace {

constexpr unsigned address_at = 0xff0;
constexpr unsigned data_at = 0xff4;
constexpr unsigned control_at = 0xff8;
constexpr unsigned status_at = 0xffc;
constexpr uint32_t control_write = 0x80000000;
constexpr uint32_t status_error = 0x40000000;
constexpr uint32_t status_done = 0x80000000;

} // namespace

std::optional<uint32_t> Elbi::read(unsigned offset) const
{
    switch (offset) {
    case address_at:
        return address_;
    case data_at:
        return data_;
    case control_at:
        return control_;
    case status_at:
        return status_;
    default:
        return std::nullopt;
    }
}

bool Elbi::write(unsigned offset, uint32_t value)
{
    switch (offset) {
    case address_at:
        address_ = value;
        return true;
    case data_at:
        data_ = value;
        return true;
    case control_at:
        access(value);
        return true;
    case status_at:
        status_ = value;
        return true;
    default:
        return false;
    }
}

void Elbi::access(uint32_t control)
{
    control_ = control;
    const uint32_t reg = address_ - base_;
    if (control & control_write || reg >= size_ || reg % 4) {
        journal_.fault(
            std::format("ELBI: {} of {:#x} is not built", control & control_write ? "a write" : "a read", address_));
        status_ = status_error;
        return;
    }
    data_ = router_.read(reg);
    status_ = status_done;
}

void Elbi::reset()
{
    address_ = data_ = control_ = status_ = 0;
}

} // namespace gaudiemu::chip
