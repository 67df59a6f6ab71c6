// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

#include <span>

// What GStreamer 1.28 has and 1.26 has not, under one name for both: nothing else here looks at the version of the
// headers.

// Makes of the empty `list` a GST_TYPE_UNIQUE_LIST of `values`, which are taken over. False, with all left as it was,
// where GStreamer knows no such type: before 1.28, whose caps say nothing of tensors.
[[nodiscard]] inline bool gst_hl_take_unique_list([[maybe_unused]] GValue *list,
                                                  [[maybe_unused]] std::span<GValue> values)
{
#if GST_CHECK_VERSION(1, 28, 0)
    g_value_init(list, GST_TYPE_UNIQUE_LIST);
    for (GValue &value : values)
        gst_value_unique_list_append_and_take_value(list, &value);
    return true;
#else
    return false;
#endif
}
