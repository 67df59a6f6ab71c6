// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/kernel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <format>
#include <span>
#include <string_view>
#include <utility>

namespace hl {
namespace {

constexpr unsigned v4l2_major = 81;
constexpr unsigned drm_major = 226;

template <class T, void (*free_it)(T *)>
struct DrmDeleter {
    void operator()(T *object) const noexcept { free_it(object); }
};
template <class T, void (*free_it)(T *)>
using DrmPtr = std::unique_ptr<T, DrmDeleter<T, free_it>>;

std::string text_of(const char *text, int length)
{
    return text && length > 0 ? std::string(text, static_cast<size_t>(length)) : std::string();
}

// "pci:0000:03:00.0", "faux:vgem"; from sysfs, as the DRM ioctl knows it only where a master has set it.
std::string bus_of(int fd)
{
    struct stat state{};
    if (::fstat(fd, &state) < 0)
        return {};
    const auto link = std::format("/sys/dev/char/{}:{}/device", major(state.st_rdev), minor(state.st_rdev));
    std::error_code error;
    const std::string device = std::filesystem::canonical(link, error).filename();
    const std::string bus = std::filesystem::canonical(link + "/subsystem", error).filename();
    return device.empty() || bus.empty() ? std::string() : std::format("{}:{}", bus, device);
}

class LinuxDrmNode final : public DrmNode {
public:
    explicit LinuxDrmNode(UniqueFd fd) : fd_(std::move(fd)) {}

    std::optional<Version> version() override
    {
        const DrmPtr<drmVersion, drmFreeVersion> version(drmGetVersion(fd_.get()));
        if (!version)
            return std::nullopt;
        return Version{.driver = text_of(version->name, version->name_len),
                       .card = text_of(version->desc, version->desc_len),
                       .bus = bus_of(fd_.get())};
    }

    std::vector<uint32_t> plane_formats() override
    {
        // Primary planes are listed to those only who ask for them (drivers/gpu/drm/drm_plane.c).
        if (drmSetClientCap(fd_.get(), DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1) != 0)
            return {};
        const DrmPtr<drmModePlaneRes, drmModeFreePlaneResources> planes(drmModeGetPlaneResources(fd_.get()));
        std::vector<uint32_t> found;
        for (uint32_t i = 0; planes && i < planes->count_planes; ++i) {
            const DrmPtr<drmModePlane, drmModeFreePlane> plane(drmModeGetPlane(fd_.get(), planes->planes[i]));
            if (!plane || cursor(planes->planes[i]))
                continue;
            for (uint32_t k = 0; k < plane->count_formats; ++k)
                if (std::ranges::find(found, plane->formats[k]) == found.end())
                    found.push_back(plane->formats[k]);
        }
        return found;
    }

    int import(int dmabuf, uint32_t &handle) override
    {
        return drmPrimeFDToHandle(fd_.get(), dmabuf, &handle) == 0 ? 0 : -errno;
    }

    void close_handle(uint32_t handle) override { (void)drmCloseBufferHandle(fd_.get(), handle); }

    int add_framebuffer(const Framebuffer &wanted, uint32_t handle, uint32_t &id) override
    {
        uint32_t handles[4] = {};
        std::fill_n(handles, wanted.planes, handle);
        const int error = drmModeAddFB2(fd_.get(), wanted.width, wanted.height, wanted.fourcc, handles, wanted.pitch,
                                        wanted.offset, &id, 0);
        return error > 0 ? -error : error;
    }

    void remove_framebuffer(uint32_t id) override { (void)drmModeRmFB(fd_.get(), id); }

    int show(const Framebuffer &made, uint32_t id) override
    {
        if (drmSetMaster(fd_.get()) != 0)
            return -errno;
        const int result = show_as_master(made, id);
        (void)drmDropMaster(fd_.get());
        return result;
    }

private:
    struct Display {
        uint32_t crtc = 0, connector = 0;
        drmModeModeInfo mode{};
    };

    int show_as_master(const Framebuffer &made, uint32_t id)
    {
        auto display = display_of(made.width, made.height);
        if (!display)
            return -ENOENT;
        const DrmPtr<drmModeCrtc, drmModeFreeCrtc> before(drmModeGetCrtc(fd_.get(), display->crtc));
        if (!before)
            return errno ? -errno : -EIO;
        std::vector<uint32_t> connectors = connectors_of(display->crtc);
        // Dark, or another's: not ours to switch on or off.
        if (!connectors.empty() && (!lit(display->connector) || !std::ranges::contains(connectors, display->connector)))
            return -EBUSY;
        // Legacy calls return once the picture is on its way out (drm_atomic_helper.c drm_atomic_helper_commit_tail).
        if (drmModeSetCrtc(fd_.get(), display->crtc, id, 0, 0, &display->connector, 1, &display->mode) != 0)
            return -errno;
        const bool lighted = before->mode_valid && before->buffer_id;
        const int restored = lighted
                                 ? drmModeSetCrtc(fd_.get(), display->crtc, before->buffer_id, before->x, before->y,
                                                  connectors.data(), static_cast<int>(connectors.size()), &before->mode)
                                 : drmModeSetCrtc(fd_.get(), display->crtc, 0, 0, 0, nullptr, 0, nullptr);
        return restored == 0 ? 0 : -ECANCELED;
    }

    // Its DPMS property says "on", which is 0 (drm_mode.h DRM_MODE_DPMS_ON).
    bool lit(uint32_t connector)
    {
        return property_of(connector, DRM_MODE_OBJECT_CONNECTOR, "DPMS") == uint64_t{DRM_MODE_DPMS_ON};
    }

    std::optional<uint64_t> property_of(uint32_t object, uint32_t type, std::string_view name)
    {
        const DrmPtr<drmModeObjectProperties, drmModeFreeObjectProperties> all(
            drmModeObjectGetProperties(fd_.get(), object, type));
        for (uint32_t i = 0; all && i < all->count_props; ++i) {
            const DrmPtr<drmModePropertyRes, drmModeFreeProperty> property(
                drmModeGetProperty(fd_.get(), all->props[i]));
            if (property && std::string_view(property->name) == name)
                return all->prop_values[i];
        }
        return std::nullopt;
    }

    std::optional<Display> display_of(uint32_t width, uint32_t height)
    {
        const DrmPtr<drmModeRes, drmModeFreeResources> all(drmModeGetResources(fd_.get()));
        for (int i = 0; all && i < all->count_connectors; ++i) {
            const DrmPtr<drmModeConnector, drmModeFreeConnector> connector(
                drmModeGetConnector(fd_.get(), all->connectors[i]));
            if (!connector || connector->connection != DRM_MODE_CONNECTED)
                continue;
            const std::span modes(connector->modes, static_cast<size_t>(connector->count_modes));
            const auto mode = std::ranges::find_if(
                modes, [&](const drmModeModeInfo &one) { return one.hdisplay == width && one.vdisplay == height; });
            const uint32_t crtc = crtc_of(*all, *connector);
            if (mode != modes.end() && crtc)
                return Display{.crtc = crtc, .connector = connector->connector_id, .mode = *mode};
        }
        return std::nullopt;
    }

    // Those that show its picture now.
    std::vector<uint32_t> connectors_of(uint32_t crtc)
    {
        std::vector<uint32_t> out;
        const DrmPtr<drmModeRes, drmModeFreeResources> all(drmModeGetResources(fd_.get()));
        for (int i = 0; all && i < all->count_connectors; ++i) {
            const DrmPtr<drmModeConnector, drmModeFreeConnector> connector(
                drmModeGetConnectorCurrent(fd_.get(), all->connectors[i]));
            const DrmPtr<drmModeEncoder, drmModeFreeEncoder> encoder(
                connector ? drmModeGetEncoder(fd_.get(), connector->encoder_id) : nullptr);
            if (encoder && encoder->crtc_id == crtc)
                out.push_back(connector->connector_id);
        }
        return out;
    }

    // The one that the connector has, else the first that it can have; 0: none.
    uint32_t crtc_of(const drmModeRes &all, const drmModeConnector &connector)
    {
        uint32_t possible = 0;
        for (int i = 0; i < connector.count_encoders; ++i) {
            const DrmPtr<drmModeEncoder, drmModeFreeEncoder> encoder(
                drmModeGetEncoder(fd_.get(), connector.encoders[i]));
            if (encoder && encoder->encoder_id == connector.encoder_id && encoder->crtc_id)
                return encoder->crtc_id;
            possible |= encoder ? encoder->possible_crtcs : 0;
        }
        for (int i = 0; i < all.count_crtcs; ++i)
            if (possible & (1u << i))
                return all.crtcs[i];
        return 0;
    }

    bool cursor(uint32_t plane)
    {
        return property_of(plane, DRM_MODE_OBJECT_PLANE, "type") == uint64_t{DRM_PLANE_TYPE_CURSOR};
    }

    UniqueFd fd_;
};

class LinuxKernel final : public Kernel {
public:
    NodeType type_of(const std::string &node) override
    {
        struct stat state{};
        if (::stat(node.c_str(), &state) < 0)
            return NodeType::Missing;
        if (!S_ISCHR(state.st_mode))
            return NodeType::NoDevice;
        switch (major(state.st_rdev)) {
        case v4l2_major:
            return NodeType::Video;
        case drm_major:
            return NodeType::Drm;
        default:
            return NodeType::OtherDevice;
        }
    }

    // open and ioctl are asked of the kernel itself: libv4l2 preloaded (v4l2convert.so) wraps libc's, and answers
    // REQBUFS for DMABUF on its own where it converts.
    UniqueFd open_video(const std::string &node, int &error) override
    {
        UniqueFd fd(static_cast<int>(::syscall(SYS_openat, AT_FDCWD, node.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)));
        error = fd ? 0 : errno;
        return fd;
    }

    int ioctl(int fd, unsigned long request, void *argument) override
    {
        for (;;) {
            if (::syscall(SYS_ioctl, fd, request, argument) == 0)
                return 0;
            if (errno != EINTR)
                return -errno;
        }
    }

    int wait(int fd, short events, std::chrono::milliseconds patience) override
    {
        pollfd waiting{.fd = fd, .events = events, .revents = 0};
        for (const auto end = std::chrono::steady_clock::now() + patience;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            const int ready = ::poll(&waiting, 1, static_cast<int>(std::max(left.count(), std::int64_t{0})));
            if (ready > 0)
                return waiting.revents & events ? 0 : -EIO;
            if (ready == 0)
                return -ETIMEDOUT;
            if (errno != EINTR)
                return -errno;
        }
    }

    std::unique_ptr<DrmNode> open_drm(const std::string &node, int &error) override
    {
        UniqueFd fd(::open(node.c_str(), O_RDWR | O_CLOEXEC));
        error = fd ? 0 : errno;
        if (!fd)
            return nullptr;
        // The first to open a card becomes its master (drivers/gpu/drm/drm_auth.c drm_master_open), which would lock a
        // display server out. On a render node, and where another is master, this fails and nothing is lost.
        (void)drmDropMaster(fd.get());
        return std::make_unique<LinuxDrmNode>(std::move(fd));
    }
};

} // namespace

Kernel &Kernel::running()
{
    static LinuxKernel kernel;
    return kernel;
}

} // namespace hl
