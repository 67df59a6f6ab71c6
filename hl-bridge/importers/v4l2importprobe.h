// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/importprobe.h"

namespace hl {

// Offers frames to a V4L2 queue: REQBUFS(1, DMABUF), QBUF, REQBUFS(0). QBUF is where videobuf2 attaches and maps
// (videobuf2-core.c __prepare_dmabuf), and nothing is captured without STREAMON. A use has that too, with the one frame
// in as many buffers as the driver wants queued before it begins. The ioctls go to the kernel itself.
class V4l2ImportProbe final : public ImportProbe {
public:
    [[nodiscard]] static std::expected<std::unique_ptr<ImportProbe>, ImportAttempt> open(Kernel &kernel,
                                                                                         const Importer &importer);

    [[nodiscard]] const ImportFormat &format() const noexcept override { return format_; }
    [[nodiscard]] ImportAttempt offer(std::span<const ImportFrame> planes) override;
    [[nodiscard]] std::optional<ImportUse> use(std::span<const ImportFrame> planes,
                                               std::chrono::milliseconds patience) override;

private:
    V4l2ImportProbe(Kernel &kernel, UniqueFd fd, const Importer &importer);

    [[nodiscard]] int read_format();
    [[nodiscard]] int queue_frame(std::span<const ImportFrame> planes, uint32_t index);
    [[nodiscard]] ImportAttempt refused(std::span<const ImportFrame> planes, int error);
    // The first frame that the driver does not call broken, as cameras do with some after they start.
    [[nodiscard]] ImportUse dequeue(std::span<const ImportFrame> planes, std::chrono::milliseconds patience);
    [[nodiscard]] ImportAttempt failed(ImportStep step, int error);

    Kernel &kernel_;
    UniqueFd fd_;
    ImporterKind kind_;
    uint32_t queue_;
    uint32_t field_ = 0;
    ImportFormat format_;
};

} // namespace hl
