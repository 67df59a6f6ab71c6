// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importer.h"

#include "device/nodeaccess.h"

#include <linux/videodev2.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <format>
#include <optional>
#include <utility>

namespace hl {
namespace {

constexpr const char *operation = "identify importer";

std::unexpected<Error> wrong_kind(const std::string &node, std::string what, int err = 0)
{
    return fail(ErrorCode::ImporterKindWrong, operation, std::format("{} {}", node, what),
                "name a V4L2 video node (/dev/video0) or a DRM node (/dev/dri/card0, /dev/dri/renderD128)", err, node);
}

std::unexpected<Error> missing(const std::string &node)
{
    const NodeAccess access = NodeAccess::look(node);
    return fail(ErrorCode::ImporterMissing, operation, access.cause(ENOENT),
                std::format("{}; what there is: ls /dev/video* /dev/dri/*", access.remedy(ENOENT)), ENOENT, node);
}

std::unexpected<Error> open_error(const std::string &node, int err)
{
    switch (err) {
    case EACCES:
    case EPERM: {
        const NodeAccess access = NodeAccess::look(node);
        return fail(ErrorCode::ImporterPermission, operation, access.cause(err), access.remedy(err), err, node);
    }
    case EBUSY:
        return fail(ErrorCode::ImporterBusy, operation, std::format("{} lets in one user only, and has one", node),
                    "stop what uses it, and ask again", err, node);
    case ENODEV:
    case ENXIO:
        return fail(ErrorCode::ImporterMissing, operation, std::format("{} is there, but its device is gone", node),
                    "plug it in again, or load its driver", err, node);
    default:
        return fail(ErrorCode::ImporterUnclear, operation, std::format("{} cannot be opened", node),
                    "see the errno and the kernel log", err, node);
    }
}

template <size_t n>
std::string text_of(const __u8 (&field)[n])
{
    const char *first = reinterpret_cast<const char *>(field);
    return std::string(first, std::find(first, first + n, '\0'));
}

struct QueueRule {
    uint32_t capability;
    ImporterKind kind;
    uint32_t type;
};

// In a node's capabilities, the multi-planar word excludes the single-planar one
// (Documentation/userspace-api/media/v4l, VIDIOC_QUERYCAP).
constexpr std::array queue_rules{
    QueueRule{V4L2_CAP_VIDEO_CAPTURE, ImporterKind::Capture, V4L2_BUF_TYPE_VIDEO_CAPTURE},
    QueueRule{V4L2_CAP_VIDEO_CAPTURE_MPLANE, ImporterKind::Capture, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE},
    QueueRule{V4L2_CAP_VIDEO_OUTPUT, ImporterKind::Output, V4L2_BUF_TYPE_VIDEO_OUTPUT},
    QueueRule{V4L2_CAP_VIDEO_OUTPUT_MPLANE, ImporterKind::Output, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE},
    QueueRule{V4L2_CAP_VIDEO_M2M, ImporterKind::M2mOutput, V4L2_BUF_TYPE_VIDEO_OUTPUT},
    QueueRule{V4L2_CAP_VIDEO_M2M, ImporterKind::M2mCapture, V4L2_BUF_TYPE_VIDEO_CAPTURE},
    QueueRule{V4L2_CAP_VIDEO_M2M_MPLANE, ImporterKind::M2mOutput, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE},
    QueueRule{V4L2_CAP_VIDEO_M2M_MPLANE, ImporterKind::M2mCapture, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE},
};

Result<std::vector<Importer>> identify_video(Kernel &kernel, const std::string &node)
{
    int err = 0;
    const UniqueFd fd = kernel.open_video(node, err);
    if (!fd)
        return open_error(node, err);
    v4l2_capability have{};
    if (const int failed = kernel.ioctl(fd.get(), VIDIOC_QUERYCAP, &have); failed < 0) {
        if (failed == -ENOTTY)
            return wrong_kind(node, "is a V4L2 node without a video queue (a sub-device)", ENOTTY);
        return open_error(node, -failed);
    }
    const uint32_t caps = have.capabilities & V4L2_CAP_DEVICE_CAPS ? have.device_caps : have.capabilities;
    std::vector<Importer> found;
    for (const QueueRule &rule : queue_rules)
        if (caps & rule.capability)
            found.push_back({.node = node,
                             .kind = rule.kind,
                             .driver = text_of(have.driver),
                             .card = text_of(have.card),
                             .bus = text_of(have.bus_info),
                             .queue = rule.type});
    if (found.empty())
        return wrong_kind(node, std::format("({}) neither captures nor puts out video frames: it is a radio, VBI, SDR, "
                                            "metadata or touch node",
                                            text_of(have.driver)));
    return found;
}

Result<std::vector<Importer>> identify_drm(Kernel &kernel, const std::string &node)
{
    int err = 0;
    const auto drm = kernel.open_drm(node, err);
    if (!drm)
        return open_error(node, err);
    auto version = drm->version();
    if (!version)
        return open_error(node, ENODEV);
    return std::vector{Importer{.node = node,
                                .kind = drm->plane_formats().empty() ? ImporterKind::Render : ImporterKind::Display,
                                .driver = std::move(version->driver),
                                .card = std::move(version->card),
                                .bus = std::move(version->bus)}};
}

// The nodes "PREFIXn" of a directory, by n.
void append_nodes(const std::string &directory, std::string_view prefix, std::vector<std::string> &nodes)
{
    std::vector<std::pair<unsigned, std::string>> found;
    std::error_code error;
    for (auto at = std::filesystem::directory_iterator(directory, error);
         !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
        const std::string name = at->path().filename().string();
        unsigned number = 0;
        if (!name.starts_with(prefix))
            continue;
        const char *last = name.data() + name.size();
        const auto [end, bad] = std::from_chars(name.data() + prefix.size(), last, number);
        if (bad == std::errc() && end == last)
            found.emplace_back(number, at->path().string());
    }
    std::ranges::sort(found);
    for (auto &[number, path] : found)
        nodes.push_back(std::move(path));
}

} // namespace

std::string_view importer_kind_name(ImporterKind kind) noexcept
{
    switch (kind) {
    case ImporterKind::Capture:
        return "capture";
    case ImporterKind::Output:
        return "output";
    case ImporterKind::M2mOutput:
        return "m2m-output";
    case ImporterKind::M2mCapture:
        return "m2m-capture";
    case ImporterKind::Display:
        return "display";
    case ImporterKind::Render:
        return "render";
    }
    return "?";
}

Result<std::vector<Importer>> identify_importer(Kernel &kernel, const std::string &node)
{
    switch (kernel.type_of(node)) {
    case Kernel::NodeType::Missing:
        return missing(node);
    case Kernel::NodeType::NoDevice:
        return wrong_kind(node, "is no device node");
    case Kernel::NodeType::OtherDevice:
        return wrong_kind(node, "is a device, but neither a V4L2 nor a DRM one");
    case Kernel::NodeType::Video:
        return identify_video(kernel, node);
    case Kernel::NodeType::Drm:
        return identify_drm(kernel, node);
    }
    std::unreachable();
}

std::vector<std::string> find_importer_nodes(const std::string &dev)
{
    std::vector<std::string> nodes;
    append_nodes(dev, "video", nodes);
    append_nodes(dev + "/dri", "card", nodes);
    append_nodes(dev + "/dri", "renderD", nodes);
    return nodes;
}

} // namespace hl
