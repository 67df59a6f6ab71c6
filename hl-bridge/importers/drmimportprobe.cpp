// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/drmimportprobe.h"

#include "core/frameformat.h"

#include <algorithm>
#include <cerrno>
#include <format>

namespace hl {
namespace {

constexpr uint32_t width = 640;
constexpr uint32_t height = 480;
constexpr uint32_t stride_align = 64;

FrameFormat frame_of(size_t index)
{
    return {.format = static_cast<PixelFormat>(index), .width = width, .height = height};
}

// What any of our formats needs.
uint32_t frame_bytes()
{
    uint64_t most = 0;
    for (size_t i = 0; i < pixel_formats; ++i)
        most = std::max(most, packed_placement(frame_of(i), stride_align).size);
    return static_cast<uint32_t>(most);
}

DrmNode::Framebuffer framebuffer_of(size_t index)
{
    const FrameFormat frame = frame_of(index);
    const PixelFormatInfo &info = pixel_format_info(frame.format);
    const PlanePlacement planes = packed_placement(frame, stride_align);
    DrmNode::Framebuffer out{.fourcc = info.fourcc, .width = width, .height = height, .planes = info.planes};
    for (size_t i = 0; i < info.planes; ++i) {
        out.pitch[i] = planes.stride[i];
        out.offset[i] = static_cast<uint32_t>(planes.offset[i]);
    }
    return out;
}

} // namespace

DrmImportProbe::DrmImportProbe(std::unique_ptr<DrmNode> node, bool display)
    : node_(std::move(node)), display_(display),
      format_{.text = std::format("{}x{}", width, height), .plane_bytes = {frame_bytes()}}
{
    if (display_)
        shown_ = node_->plane_formats();
}

std::expected<std::unique_ptr<ImportProbe>, ImportAttempt> DrmImportProbe::open(Kernel &kernel,
                                                                                const Importer &importer)
{
    int error = 0;
    auto node = kernel.open_drm(importer.node, error);
    if (!node)
        return std::unexpected(ImportAttempt{.step = ImportStep::Format,
                                             .sys_errno = error,
                                             .gone = error == ENODEV || error == ENXIO || error == ENOENT});
    return std::unique_ptr<ImportProbe>(new DrmImportProbe(std::move(node), importer.kind == ImporterKind::Display));
}

ImportAttempt DrmImportProbe::offer(std::span<const ImportFrame> planes)
{
    return import(planes, [](const DrmNode::Framebuffer &, uint32_t) {});
}

std::optional<ImportUse> DrmImportProbe::use(std::span<const ImportFrame> planes, std::chrono::milliseconds)
{
    if (!display_)
        return std::nullopt;
    std::optional<int> result; // of the first framebuffer that was shown, or of the last that was not
    ImportAttempt attempt = import(planes, [&](const DrmNode::Framebuffer &made, uint32_t id) {
        if (result != 0)
            result = node_->show(made, id);
    });
    if (result)
        attempt = {.step = ImportStep::Show, .sys_errno = -*result};
    return ImportUse{.attempt = std::move(attempt)};
}

ImportAttempt DrmImportProbe::import(std::span<const ImportFrame> planes, const WithFramebuffer &with)
{
    uint32_t handle = 0;
    if (const int error = node_->import(planes[0].fd.get(), handle); error < 0)
        return {.step = ImportStep::Import,
                .sys_errno = -error,
                .dmabuf = planes[0].dmabuf,
                .gone = !node_->version().has_value()};
    ImportAttempt attempt{.step = ImportStep::Import};
    if (display_)
        attempt = make_framebuffers(handle, with);
    node_->close_handle(handle);
    return attempt;
}

ImportAttempt DrmImportProbe::make_framebuffers(uint32_t handle, const WithFramebuffer &with)
{
    ImportAttempt attempt{.step = ImportStep::Framebuffer, .no_format = true};
    int first_error = 0;
    for (size_t i = 0; i < pixel_formats; ++i) {
        const DrmNode::Framebuffer wanted = framebuffer_of(i);
        if (std::ranges::find(shown_, wanted.fourcc) == shown_.end())
            continue;
        attempt.no_format = false;
        uint32_t id = 0;
        if (const int error = node_->add_framebuffer(wanted, handle, id); error < 0) {
            first_error = first_error ? first_error : -error;
            continue;
        }
        with(wanted, id);
        node_->remove_framebuffer(id);
        attempt.formats.emplace_back(pixel_format_info(static_cast<PixelFormat>(i)).name);
    }
    if (attempt.formats.empty())
        attempt.sys_errno = first_error;
    return attempt;
}

} // namespace hl
