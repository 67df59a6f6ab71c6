// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/suppression.h"

#include <algorithm>

namespace hl {

namespace {

// In double: the area of a sliver, which a hostile model may report, is nothing in float.
double intersection_over_union(const Detection &a, const Detection &b) noexcept
{
    const double width = double{std::min(a.x1, b.x1)} - std::max(a.x0, b.x0);
    const double height = double{std::min(a.y1, b.y1)} - std::max(a.y0, b.y0);
    if (width <= 0. || height <= 0.)
        return 0.;
    const auto area = [](const Detection &box) { return (double{box.x1} - box.x0) * (double{box.y1} - box.y0); };
    const double common = width * height;
    return common / (area(a) + area(b) - common);
}

} // namespace

// The best `most` candidates in order. The order is total, so it does not depend on how they are sorted.
std::span<const Suppression::Candidate> Suppression::sorted(size_t most) noexcept
{
    const auto better = [](const Candidate &a, const Candidate &b) {
        return a.box.score != b.box.score ? a.box.score > b.box.score : a.index < b.index;
    };
    const std::span found(candidates_.data(), found_);
    const size_t taken = std::min(most, found_);
    cut_ = found_ - taken;
    if (cut_ > 0)
        std::ranges::nth_element(found, found.begin() + static_cast<ptrdiff_t>(taken), better);
    std::ranges::sort(found.first(taken), better);
    return found.first(taken);
}

void Suppression::keep(const Candidate &candidate) noexcept
{
    kept_[kept_count_] = candidate.box;
    kept_[kept_count_].score = std::clamp(candidate.box.score, 0.f, 1.f);
    kept_index_[kept_count_++] = candidate.index;
}

std::span<const Detection> Suppression::suppress(const DecodeOptions &options) noexcept
{
    kept_count_ = 0;
    for (const auto &candidate : sorted(options.max_candidates)) {
        if (kept_count_ >= options.max_detections)
            break;
        const auto covers = [&](const Detection &better) {
            return (!options.class_aware || better.class_index == candidate.box.class_index) &&
                   intersection_over_union(better, candidate.box) > options.iou_threshold;
        };
        if (!std::ranges::any_of(std::span(kept_.data(), kept_count_), covers))
            keep(candidate);
    }
    return {kept_.data(), kept_count_};
}

std::span<const Detection> Suppression::best(const DecodeOptions &options) noexcept
{
    kept_count_ = 0;
    for (const auto &candidate : sorted(options.max_detections))
        keep(candidate);
    cut_ = 0;
    return {kept_.data(), kept_count_};
}

} // namespace hl
