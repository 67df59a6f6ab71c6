// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/importprobe.h"

#include <functional>

namespace hl {

// Offers a frame to a DRM node: PRIME import, and, where the node has planes, a linear framebuffer in each of our
// formats that a plane shows. Neither needs the master, neither shows anything; a use does both. How much an import
// proves depends on the driver: some map in it, some (i915, xe, amdgpu, and since Linux 6.18 all on the shmem helper
// without a scatter-gather table, drm_gem_shmem_helper.c drm_gem_shmem_prime_import_no_map) attach only.
class DrmImportProbe final : public ImportProbe {
public:
    [[nodiscard]] static std::expected<std::unique_ptr<ImportProbe>, ImportAttempt> open(Kernel &kernel,
                                                                                         const Importer &importer);

    [[nodiscard]] const ImportFormat &format() const noexcept override { return format_; }
    [[nodiscard]] ImportAttempt offer(std::span<const ImportFrame> planes) override;
    [[nodiscard]] std::optional<ImportUse> use(std::span<const ImportFrame> planes,
                                               std::chrono::milliseconds patience) override;

private:
    // What to do with each framebuffer that could be made.
    using WithFramebuffer = std::function<void(const DrmNode::Framebuffer &made, uint32_t id)>;

    DrmImportProbe(std::unique_ptr<DrmNode> node, bool display);

    [[nodiscard]] ImportAttempt import(std::span<const ImportFrame> planes, const WithFramebuffer &with);
    [[nodiscard]] ImportAttempt make_framebuffers(uint32_t handle, const WithFramebuffer &with);

    std::unique_ptr<DrmNode> node_;
    bool display_;
    std::vector<uint32_t> shown_; // fourccs of planes
    ImportFormat format_;
};

} // namespace hl
