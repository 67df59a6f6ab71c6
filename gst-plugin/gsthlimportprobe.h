// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"

#include <gst/gst.h>

#include <memory>
#include <optional>
#include <string>

// The property import-probe: finds out, before anything streams, what the importer at `node` (empty: none is named)
// takes, by offering it frames in its current format. For each of its queues posts the element message "hl-import"
// {element, node, driver, kind, host, host-text, device, device-text} with the answers "imports", "refused" or
// "unknown" and their reasons, and the same as INFO so that gst-launch-1.0 prints it. TRUE: it maps the device's own
// memory. A node in use is unknown, no error. nullopt: the node is no importer, as an ERROR of `element` has told. Any
// thread.
[[nodiscard]] std::optional<bool> gst_hl_probe_importer(GstElement *element, const std::string &node,
                                                        const std::shared_ptr<hl::Device> &device);
