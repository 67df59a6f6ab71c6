// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace gaudiemu::chip {

// What a device model says of itself: one line each on stderr, and the faults kept for whoever asks (the unit tests).
// A fault is something a real chip would have refused: an unknown packet, an address behind which nothing lies.
class Journal {
public:
    explicit Journal(std::string model, bool quiet = false) : model_(std::move(model)), quiet_(quiet) {}

    void note(const std::string &text);
    void fault(const std::string &text);

    // The faults so far, at most the first `kept`.
    [[nodiscard]] std::vector<std::string> faults() const;
    [[nodiscard]] uint64_t fault_count() const;

    static constexpr size_t kept = 64;

private:
    void write(const char *kind, const std::string &text) const;

    const std::string model_;
    const bool quiet_;
    mutable std::mutex mutex_;
    std::vector<std::string> faults_;
    uint64_t fault_count_ = 0;
};

} // namespace gaudiemu::chip
