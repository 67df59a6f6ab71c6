// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "camera.h"
#include "options.h"

#include <optional>
#include <string>
#include <vector>

// One way for frames to get from the camera to the model.
struct Attempt {
    std::string what; // for people
    std::string line; // for gst_parse_launch()
};

// All ways, best first: without a copy where the camera's driver takes our memory, with one where it does not.
[[nodiscard]] std::vector<Attempt> attempts(const Options &options, const std::optional<Camera> &camera);
