// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/device.h"

#include <gst/gst.h>

#include <string>
#include <string_view>

// Posts `error` as the element's one ERROR message: the headline and the remedy as text, details as debug, and a
// structure "hl-error" {code, operation, errno, device, cause, remedy} as the message's details. The GError domain
// follows the code (RESOURCE for devices and memory, STREAM for models and formats, LIBRARY else). Any thread.
void gst_hl_post_error(GstElement *element, const hl::Error &error);
// The same for a failure of the device. A loss is told once in a pipeline, whichever of its elements meets it first.
void gst_hl_post_device_error(GstElement *element, const hl::Device &device, const hl::Error &error);
// As gst_hl_post_error(), as a WARNING message.
void gst_hl_post_warning(GstElement *element, const hl::Error &error);

// Text for a GstStructure, which takes UTF-8 only (gst/gststructure.c gst_structure_set_field() warns of the rest):
// paths and settings are any bytes. What is not UTF-8 becomes U+FFFD.
[[nodiscard]] std::string gst_hl_utf8(std::string_view text);

// Sends hl-bridge's log lines to the debug category "hlbridge". Idempotent.
void gst_hl_install_log_sink();
