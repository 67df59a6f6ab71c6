// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest/screen.h"

#include <drm_fourcc.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>
#include <span>
#include <sstream>
#include <utility>

namespace gaudiemu::guest {

namespace {

constexpr uint32_t width = 640;
constexpr uint32_t height = 480;

template <auto Free>
struct Freed {
    template <typename Object>
    void operator()(Object *object) const
    {
        Free(object);
    }
};
using Resources = std::unique_ptr<drmModeRes, Freed<drmModeFreeResources>>;
using Connector = std::unique_ptr<drmModeConnector, Freed<drmModeFreeConnector>>;

} // namespace

Screen::~Screen()
{
    if (framebuffer_ != 0)
        drmModeRmFB(fd_.get(), framebuffer_);
}

int Screen::open(const std::string &node)
{
    fd_.reset(::open(node.c_str(), O_RDWR | O_CLOEXEC));
    struct stat status{};
    if (!fd_ || fstat(fd_.get(), &status) != 0)
        return errno;
    debugfs_ = "/sys/kernel/debug/dri/" + std::to_string(minor(status.st_rdev)) + "/frames";
    return drmSetMaster(fd_.get()) == 0 ? 0 : errno;
}

int Screen::import(int dmabuf, uint32_t &handle) const
{
    return drmPrimeFDToHandle(fd_.get(), dmabuf, &handle) == 0 ? 0 : errno;
}

void Screen::forget(uint32_t handle) const
{
    drmCloseBufferHandle(fd_.get(), handle);
}

int Screen::show(uint32_t handle)
{
    const uint32_t handles[4] = {handle}, pitches[4] = {width * 4}, offsets[4] = {};
    uint32_t framebuffer = 0;
    if (drmModeAddFB2(fd_.get(), width, height, DRM_FORMAT_XRGB8888, handles, pitches, offsets, &framebuffer, 0) != 0)
        return errno;
    const uint32_t before = std::exchange(framebuffer_, framebuffer);
    const Resources resources(drmModeGetResources(fd_.get()));
    if (!resources || resources->count_connectors == 0 || resources->count_crtcs == 0)
        return ENODEV;
    const Connector connector(drmModeGetConnector(fd_.get(), resources->connectors[0]));
    if (!connector)
        return ENODEV;
    const std::span modes(connector->modes, static_cast<size_t>(connector->count_modes));
    const auto mode = std::ranges::find_if(
        modes, [](const drmModeModeInfo &one) { return one.hdisplay == width && one.vdisplay == height; });
    if (mode == modes.end())
        return ENOENT;
    if (drmModeSetCrtc(fd_.get(), resources->crtcs[0], framebuffer, 0, 0, &connector->connector_id, 1, &*mode) != 0)
        return errno;
    if (before != 0)
        drmModeRmFB(fd_.get(), before);
    return 0;
}

std::optional<Screen::Shown> Screen::last() const
{
    std::ifstream file(debugfs_);
    std::string line, last;
    while (std::getline(file, line))
        last = line;
    std::istringstream words(last);
    Shown shown;
    uint32_t number = 0;
    words >> number >> shown.format >> shown.size >> shown.memory >> std::hex >> shown.crc >> std::dec >> shown.error;
    return words ? std::optional(shown) : std::nullopt;
}

} // namespace gaudiemu::guest
