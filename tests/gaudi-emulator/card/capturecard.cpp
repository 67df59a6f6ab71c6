// SPDX-License-Identifier: LGPL-2.1-or-later
#include "capturecard.h"

#include "cardaccess.h"
#include "scatterlist.h"

namespace gaudiemu {

namespace {

constexpr uint32_t no_frame = ~uint32_t{0};

} // namespace

CaptureCard::CaptureCard(std::optional<Film> film)
    : film_(std::move(film)), engine_(
                                  HL_CAPTURE_ID, [this]() -> PciHost & { return host(); },
                                  [this](const CardEngine::Buffer &buffer, uint32_t number,
                                         const std::stop_token &stop) { return capture(buffer, number, stop); })
{
    forget();
    engine_.set_interval(std::chrono::microseconds(interval_));
    engine_.on_start = [this] { forget(); };
    engine_.on_frame = [this](uint32_t number, uint32_t crc) {
        const std::lock_guard lock(log_mutex_);
        last_ = {number, crc};
        log_[number % log_.size()] = last_;
    };
}

ConfigSpaceInit CaptureCard::identity() const
{
    return {.vendor = HL_CAPTURE_VENDOR,
            .device = HL_CAPTURE_DEVICE,
            .revision = HL_CARD_VERSION,
            .class_code = 0x040000, // multimedia video controller
            .subsystem_vendor = HL_CAPTURE_VENDOR,
            .subsystem = HL_CAPTURE_DEVICE,
            .interrupts = MsiCapability{}};
}

void CaptureCard::forget()
{
    const std::lock_guard lock(log_mutex_);
    last_ = {no_frame, 0};
    log_.fill(last_);
}

CardEngine::Outcome CaptureCard::capture(const CardEngine::Buffer &buffer, uint32_t number, const std::stop_token &stop)
{
    if (!buffer.picture) {
        return {.error = HL_CARD_ERROR_LAYOUT};
    }
    const auto list = ScatterList::fetch(host(), buffer.list, buffer.count);
    if (!list) {
        return {.error = list.error()};
    }
    if (list->bytes() < buffer.picture->bytes) {
        return {.error = HL_CARD_ERROR_STALL};
    }
    if (!painter_ || painter_->picture() != *buffer.picture) {
        painter_.emplace(*buffer.picture, film_ ? &*film_ : nullptr);
        frame_.resize(buffer.picture->bytes);
    }
    const uint32_t crc = painter_->paint(number, frame_);
    for (const auto &run : buffer.picture->runs()) {
        if (const auto moved = list->write(host(), run.offset, std::span(frame_).subspan(run.offset, run.bytes), stop);
            !moved) {
            return {.error = moved.error()};
        }
    }
    return {.crc = crc};
}

uint64_t CaptureCard::read(unsigned /*bar*/, uint64_t offset, unsigned size)
{
    return read_words(offset, size, [this](uint32_t word) { return read_word(word); });
}

void CaptureCard::write(unsigned /*bar*/, uint64_t offset, unsigned size, uint64_t value)
{
    write_words(offset, size, value, [this](uint32_t word, uint32_t part) { write_word(word, part); });
}

uint32_t CaptureCard::read_word(uint32_t offset)
{
    switch (offset) {
    case HL_CAPTURE_INTERVAL:
        return interval_;
    case HL_CAPTURE_LOST:
        return engine_.counts().lost;
    case HL_CAPTURE_FRAMES:
        return engine_.counts().done;
    default:
        return offset >= HL_CAPTURE_LAST_NUMBER ? read_log(offset) : engine_.read(offset);
    }
}

uint32_t CaptureCard::read_log(uint32_t offset)
{
    const std::lock_guard lock(log_mutex_);
    const bool is_entry = offset >= HL_CAPTURE_LOG;
    const Logged &entry = is_entry ? log_[(offset - HL_CAPTURE_LOG) / sizeof(Logged)] : last_;
    return (offset - (is_entry ? HL_CAPTURE_LOG : HL_CAPTURE_LAST_NUMBER)) % sizeof(Logged) == 0 ? entry.number
                                                                                                 : entry.crc;
}

void CaptureCard::write_word(uint32_t offset, uint32_t value)
{
    if (offset == HL_CAPTURE_INTERVAL) {
        interval_ = value;
        engine_.set_interval(std::chrono::microseconds(value));
    } else {
        engine_.write(offset, value);
    }
}

void CaptureCard::reset()
{
    engine_.reset();
    forget();
    write_word(HL_CAPTURE_INTERVAL, HL_CAPTURE_INTERVAL_DEFAULT);
}

} // namespace gaudiemu
