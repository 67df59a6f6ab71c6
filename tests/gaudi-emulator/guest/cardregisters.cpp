// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest/cardregisters.h"

#include "core/uniquefd.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <filesystem>

namespace gaudiemu::guest {

CardRegisters::CardRegisters(const std::string &node)
{
    const auto device = "/sys/class/video4linux/" + std::filesystem::path(node).filename().string() + "/device";
    const hl::UniqueFd bar(open((device + "/resource0").c_str(), O_RDONLY | O_CLOEXEC));
    void *const mapped = bar ? mmap(nullptr, HL_CARD_BAR_BYTES, PROT_READ, MAP_SHARED, bar.get(), 0) : MAP_FAILED;
    words_ = mapped == MAP_FAILED ? nullptr : static_cast<const volatile uint32_t *>(mapped);
}

CardRegisters::~CardRegisters()
{
    if (words_ != nullptr)
        munmap(const_cast<uint32_t *>(words_), HL_CARD_BAR_BYTES);
}

std::optional<uint32_t> CardRegisters::crc(uint32_t number) const
{
    const uint32_t crc = read(HL_CAPTURE_LOG_CRC(number));
    return read(HL_CAPTURE_LOG_NUMBER(number)) == number ? std::optional(crc) : std::nullopt;
}

} // namespace gaudiemu::guest
