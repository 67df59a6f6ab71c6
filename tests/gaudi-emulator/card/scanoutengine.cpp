// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scanoutengine.h"

#include "cardaccess.h"
#include "scatterlist.h"

namespace gaudiemu {

ScanoutEngine::ScanoutEngine()
    : engine_(
          HL_SCANOUT_ID, [this]() -> PciHost & { return host(); },
          [this](const CardEngine::Buffer &buffer, uint32_t /*number*/, const std::stop_token &stop) {
              return scan(buffer, stop);
          })
{}

ConfigSpaceInit ScanoutEngine::identity() const
{
    return {.vendor = HL_SCANOUT_VENDOR,
            .device = HL_SCANOUT_DEVICE,
            .revision = HL_CARD_VERSION,
            .class_code = 0x038000, // display controller, not VGA: no firmware looks for a ROM
            .subsystem_vendor = HL_SCANOUT_VENDOR,
            .subsystem = HL_SCANOUT_DEVICE,
            .interrupts = MsiCapability{}};
}

CardEngine::Outcome ScanoutEngine::scan(const CardEngine::Buffer &buffer, const std::stop_token &stop)
{
    if (!buffer.picture) {
        return {.error = HL_CARD_ERROR_LAYOUT};
    }
    const auto list = ScatterList::fetch(host(), buffer.list, buffer.count);
    if (!list) {
        return {.error = list.error()};
    }
    frame_.resize(buffer.picture->bytes);
    for (const auto &run : buffer.picture->runs()) {
        if (const auto moved = list->read(host(), run.offset, std::span(frame_).subspan(run.offset, run.bytes), stop);
            !moved) {
            return {.error = moved.error()};
        }
    }
    return {.crc = visible_crc(*buffer.picture, frame_)};
}

uint64_t ScanoutEngine::read(unsigned /*bar*/, uint64_t offset, unsigned size)
{
    return read_words(offset, size, [this](uint32_t word) {
        return word == HL_SCANOUT_FRAMES ? engine_.counts().done : engine_.read(word);
    });
}

void ScanoutEngine::write(unsigned /*bar*/, uint64_t offset, unsigned size, uint64_t value)
{
    write_words(offset, size, value, [this](uint32_t word, uint32_t part) { engine_.write(word, part); });
}

void ScanoutEngine::reset()
{
    engine_.reset();
}

} // namespace gaudiemu
