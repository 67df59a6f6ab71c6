// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlptr.h"

#include <gst/gst.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace hltest {

// The frames of a line between two pads: each that enters is seen leave, and each that enters is let go, by whoever
// drops it or gives it back to its pool. Outlives the line.
class FrameCount {
public:
    FrameCount() = default;
    FrameCount(const FrameCount &) = delete;
    FrameCount &operator=(const FrameCount &) = delete;

    // Counts what comes out of `from` and what comes into `to`.
    void watch(GstElement *from, GstElement *to)
    {
        add_probe(from, "src", [](GstPad *, GstPadProbeInfo *info, gpointer self) {
            static_cast<FrameCount *>(self)->enter(GST_PAD_PROBE_INFO_BUFFER(info));
            return GST_PAD_PROBE_OK;
        });
        add_probe(to, "sink", [](GstPad *, GstPadProbeInfo *, gpointer self) {
            static_cast<FrameCount *>(self)->count(&FrameCount::left_);
            return GST_PAD_PROBE_OK;
        });
    }

    [[nodiscard]] uint64_t entered() const { return get(&FrameCount::entered_); }
    [[nodiscard]] uint64_t left() const { return get(&FrameCount::left_); }
    [[nodiscard]] uint64_t let_go() const { return get(&FrameCount::let_go_); }

    [[nodiscard]] bool wait_entered(uint64_t wanted) { return wait(&FrameCount::entered_, wanted); }
    [[nodiscard]] bool wait_left(uint64_t wanted) { return wait(&FrameCount::left_, wanted); }
    // Until whoever held one has let go, the device too. A stream must have ended.
    [[nodiscard]] bool wait_all_let_go() { return wait(&FrameCount::let_go_, entered()); }

private:
    // A meta that a pool takes off again, at the end of the frame's way.
    struct Mark {
        GstMeta meta;
        FrameCount *count;
    };
    static const GstMetaInfo *mark_info()
    {
        static const GstMetaInfo *const info = [] {
            static const gchar *tags[] = {nullptr};
            const GType api = gst_meta_api_type_register("HlTestMarkAPI", tags);
            return gst_meta_register(
                api, "HlTestMark", sizeof(Mark), [](GstMeta *, gpointer, GstBuffer *) -> gboolean { return TRUE; },
                [](GstMeta *meta, GstBuffer *) { reinterpret_cast<Mark *>(meta)->count->count(&FrameCount::let_go_); },
                [](GstBuffer *, GstMeta *, GstBuffer *, GQuark, gpointer) -> gboolean { return FALSE; });
        }();
        return info;
    }

    void add_probe(GstElement *element, const char *name, GstPadProbeCallback callback)
    {
        const auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(element, name));
        gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, callback, this, nullptr);
    }
    void enter(GstBuffer *buffer)
    {
        ASSERT_TRUE(gst_buffer_is_writable(buffer));
        reinterpret_cast<Mark *>(gst_buffer_add_meta(buffer, mark_info(), nullptr))->count = this;
        count(&FrameCount::entered_);
    }
    void count(uint64_t FrameCount::*what)
    {
        const std::lock_guard lock(mutex_);
        ++(this->*what);
        changed_.notify_all();
    }
    [[nodiscard]] uint64_t get(const uint64_t FrameCount::*what) const
    {
        const std::lock_guard lock(mutex_);
        return this->*what;
    }
    [[nodiscard]] bool wait(uint64_t FrameCount::*what, uint64_t wanted)
    {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return this->*what >= wanted; });
    }

    mutable std::mutex mutex_; // guards the counts
    std::condition_variable changed_;
    uint64_t entered_ = 0, left_ = 0, let_go_ = 0;
};

} // namespace hltest
