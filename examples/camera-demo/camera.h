// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

struct Camera {
    std::string node; // e.g. /dev/video0
    std::string name; // as the driver calls it
    bool raw = true;  // gives uncompressed frames
};

[[nodiscard]] std::vector<Camera> find_cameras();
// The camera at `node`, or the first one if it is empty. None: there is no such camera.
[[nodiscard]] std::optional<Camera> find_camera(const std::string &node);
