// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/detection.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hl {

// Collects the candidate boxes of a frame and picks those that are reported. The order is by falling score, equal
// scores in the order of the tensor. Memory is taken once, for as many candidates as the tensor has. Not thread safe.
class Suppression {
public:
    explicit Suppression(uint32_t most = 0) : candidates_(most), kept_(most), kept_index_(most) {}

    void clear() noexcept { found_ = 0; }
    // `index`: the candidate's place in the tensor. At most as many calls after clear() as the constructor was told.
    void add(const Detection &box, uint32_t index) noexcept { candidates_[found_++] = {box, index}; }

    // Non-maximum suppression among the best max_candidates: a box is dropped where it overlaps a better one that is
    // kept. At most max_candidates x max_detections pairs are compared. Valid until the next call.
    [[nodiscard]] std::span<const Detection> suppress(const DecodeOptions &options) noexcept;
    // The best max_detections, overlapping or not. Valid until the next call.
    [[nodiscard]] std::span<const Detection> best(const DecodeOptions &options) noexcept;

    // Places in the tensor of what was returned last.
    [[nodiscard]] std::span<const uint32_t> indices() const noexcept { return {kept_index_.data(), kept_count_}; }
    // Candidates that max_candidates left out of the last selection.
    [[nodiscard]] uint64_t cut() const noexcept { return cut_; }

private:
    struct Candidate {
        Detection box;
        uint32_t index = 0;
    };

    std::span<const Candidate> sorted(size_t most) noexcept;
    void keep(const Candidate &candidate) noexcept;

    std::vector<Candidate> candidates_;
    size_t found_ = 0;
    std::vector<Detection> kept_;
    std::vector<uint32_t> kept_index_;
    size_t kept_count_ = 0;
    uint64_t cut_ = 0;
};

} // namespace hl
