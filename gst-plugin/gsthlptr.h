// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

#include <memory>
#include <utility>

// How a GStreamer type is referenced and let go. Specialised per type; the primary template covers GObject descendants.
template <class T>
struct GstRefTraits {
    static void ref(T *p) noexcept { gst_object_ref(p); }
    static void unref(T *p) noexcept { gst_object_unref(p); }
};

#define HL_MINI_OBJECT_TRAITS(Type)                                                                                    \
    template <>                                                                                                        \
    struct GstRefTraits<Type> {                                                                                        \
        static void ref(Type *p) noexcept                                                                              \
        {                                                                                                              \
            gst_mini_object_ref(GST_MINI_OBJECT_CAST(p));                                                              \
        }                                                                                                              \
        static void unref(Type *p) noexcept                                                                            \
        {                                                                                                              \
            gst_mini_object_unref(GST_MINI_OBJECT_CAST(p));                                                            \
        }                                                                                                              \
    }
HL_MINI_OBJECT_TRAITS(GstBuffer);
HL_MINI_OBJECT_TRAITS(GstCaps);
HL_MINI_OBJECT_TRAITS(GstContext);
HL_MINI_OBJECT_TRAITS(GstEvent);
HL_MINI_OBJECT_TRAITS(GstMemory);
HL_MINI_OBJECT_TRAITS(GstMessage);
HL_MINI_OBJECT_TRAITS(GstQuery);
#undef HL_MINI_OBJECT_TRAITS

// Owns one reference. adopt() takes a reference over (transfer full), share() adds one (transfer none), sink() takes a
// floating one over. The three names make every transfer visible at its place.
template <class T>
class GstPtr {
public:
    GstPtr() noexcept = default;
    GstPtr(std::nullptr_t) noexcept {}
    GstPtr(const GstPtr &other) noexcept : ptr_(other.ptr_)
    {
        if (ptr_)
            GstRefTraits<T>::ref(ptr_);
    }
    GstPtr(GstPtr &&other) noexcept : ptr_(std::exchange(other.ptr_, nullptr)) {}
    GstPtr &operator=(GstPtr other) noexcept
    {
        std::swap(ptr_, other.ptr_);
        return *this;
    }
    ~GstPtr()
    {
        if (ptr_)
            GstRefTraits<T>::unref(ptr_);
    }

    [[nodiscard]] static GstPtr adopt(T *p) noexcept
    {
        GstPtr out;
        out.ptr_ = p;
        return out;
    }
    [[nodiscard]] static GstPtr share(T *p) noexcept
    {
        if (p)
            GstRefTraits<T>::ref(p);
        return adopt(p);
    }
    [[nodiscard]] static GstPtr sink(T *p) noexcept
    {
        if (p)
            gst_object_ref_sink(p);
        return adopt(p);
    }

    [[nodiscard]] T *get() const noexcept { return ptr_; }
    T *operator->() const noexcept { return ptr_; }
    explicit operator bool() const noexcept { return ptr_ != nullptr; }
    // Gives the reference away (for a transfer-full argument or return).
    [[nodiscard]] T *release() noexcept { return std::exchange(ptr_, nullptr); }
    void reset() noexcept { *this = GstPtr(); }

private:
    T *ptr_ = nullptr;
};

struct GFreeDeleter {
    void operator()(void *p) const noexcept { g_free(p); }
};
struct GstStructureDeleter {
    void operator()(GstStructure *p) const noexcept { gst_structure_free(p); }
};
struct GErrorDeleter {
    void operator()(GError *p) const noexcept { g_error_free(p); }
};

using GCharPtr = std::unique_ptr<gchar, GFreeDeleter>;
using GstStructurePtr = std::unique_ptr<GstStructure, GstStructureDeleter>;
using GErrorPtr = std::unique_ptr<GError, GErrorDeleter>;

// Holds a GstObject's lock for a scope.
class GstObjectLocker {
public:
    explicit GstObjectLocker(gpointer object) noexcept : object_(GST_OBJECT_CAST(object)) { GST_OBJECT_LOCK(object_); }
    ~GstObjectLocker() { GST_OBJECT_UNLOCK(object_); }
    GstObjectLocker(const GstObjectLocker &) = delete;
    GstObjectLocker &operator=(const GstObjectLocker &) = delete;

private:
    GstObject *object_;
};

// A buffer mapped for a scope.
class GstBufferMap {
public:
    GstBufferMap(GstBuffer *buffer, GstMapFlags flags) noexcept
        : buffer_(buffer), ok_(gst_buffer_map(buffer, &info_, flags))
    {}
    ~GstBufferMap()
    {
        if (ok_)
            gst_buffer_unmap(buffer_, &info_);
    }
    GstBufferMap(const GstBufferMap &) = delete;
    GstBufferMap &operator=(const GstBufferMap &) = delete;

    explicit operator bool() const noexcept { return ok_; }
    [[nodiscard]] guint8 *data() const noexcept { return info_.data; }
    [[nodiscard]] gsize size() const noexcept { return info_.size; }

private:
    GstBuffer *buffer_;
    GstMapInfo info_{};
    bool ok_;
};
