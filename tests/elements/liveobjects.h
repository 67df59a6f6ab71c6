// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlptr.h"

#include <gst/gst.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

// The objects of GStreamer that were made since this was, and are not gone, by its leaks tracer (GST_TRACERS=leaks).
//
// It adds up the tracer's checkpoints. Its list of live objects would not do: whoever frees that list gives up the
// references of others (gstleaks.c process_leak() takes objects without a reference of its own), so that the registry's
// features are the first to be destroyed under their owner.
class LiveObjects {
public:
    // After gst_init(), once in a process.
    LiveObjects()
    {
        GList *const tracers = gst_tracing_get_active_tracers();
        for (GList *at = tracers; at; at = at->next)
            if (g_str_equal(G_OBJECT_TYPE_NAME(at->data), "GstLeaksTracer"))
                tracer_ = GstPtr<GstTracer>::share(GST_TRACER(at->data));
        g_list_free_full(tracers, gst_object_unref);
        if (tracer_)
            g_signal_emit_by_name(tracer_.get(), "activity-start-tracking");
    }

    // One word of type and address for each, sorted. From one thread.
    std::vector<std::string> now()
    {
        if (!tracer_) {
            ADD_FAILURE() << "the leaks tracer is not there";
            return {};
        }
        GstStructure *raw = nullptr;
        g_signal_emit_by_name(tracer_.get(), "activity-get-checkpoint", &raw);
        const GstStructurePtr checkpoint(raw);
        each(raw, "objects-created-list", [this](const std::string &object) { ++count_[object]; });
        // What was there before this was is not counted when it goes.
        each(raw, "objects-removed-list", [this](const std::string &object) {
            if (const auto known = count_.find(object); known != count_.end() && --known->second == 0)
                count_.erase(known);
        });
        std::vector<std::string> out;
        for (const auto &[object, count] : count_)
            out.insert(out.end(), count, object);
        return out;
    }

private:
    template <typename Take>
    static void each(const GstStructure *checkpoint, const char *name, const Take &take)
    {
        const GValue *const list = checkpoint ? gst_structure_get_value(checkpoint, name) : nullptr;
        ASSERT_TRUE(list) << name;
        for (guint i = 0; i < gst_value_list_get_size(list); ++i) {
            const GstStructure *const entry = gst_value_get_structure(gst_value_list_get_value(list, i));
            take(std::string(gst_structure_get_string(entry, "type-name")) + "@" +
                 gst_structure_get_string(entry, "address"));
        }
    }

    GstPtr<GstTracer> tracer_;
    std::map<std::string, size_t> count_;
};
