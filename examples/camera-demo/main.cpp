// SPDX-License-Identifier: LGPL-2.1-or-later
//
// From a camera to detections, in Gaudi memory. Tries the ways in which frames can get from this camera to the model,
// best first, says why one was refused, runs the first that works, and reports what was and was not copied.

#include "attempts.h"
#include "camera.h"
#include "options.h"
#include "report.h"
#include "session.h"

#include <gst/gst.h>

#include <cstdio>
#include <format>
#include <optional>
#include <string>

namespace {

void say(const std::string &text)
{
    std::fputs((text + "\n").c_str(), stderr);
}

int list()
{
    const auto cameras = find_cameras();
    for (const Camera &camera : cameras)
        std::puts(std::format("{}  {}", camera.node, camera.name).c_str());
    return cameras.empty() ? 1 : 0;
}

int run(const Options &options)
{
    std::optional<Camera> camera;
    if (options.source.empty()) {
        camera = find_camera(options.camera);
        if (!camera) {
            say("camera-demo: there is no camera here; name a node with --camera, or another source with --source");
            return 1;
        }
        say(std::format("Camera: {} ({})", camera->name, camera->node));
    }
    for (const Attempt &attempt : attempts(options, camera)) {
        say("Trying: " + attempt.what);
        auto session = Session::create(attempt, static_cast<uint64_t>(options.frames));
        if (!session) {
            say("camera-demo: " + session.error());
            return 1;
        }
        auto outcome = (*session)->run();
        if (!outcome) {
            if ((*session)->streamed()) {
                say("camera-demo: the stream broke: " + outcome.error());
                return 1;
            }
            say("  not this way: " + outcome.error());
            continue;
        }
        const Report report{.camera = camera ? std::format("{} ({})", camera->name, camera->node) : options.source,
                            .how = attempt.what,
                            .stats = outcome->stats.get(),
                            .copies = outcome->copies.get()};
        std::fputs(report.text().c_str(), stdout);
        if (options.json)
            std::puts(report.json().c_str());
        return 0;
    }
    say("camera-demo: no way worked; the reasons are above");
    return 1;
}

} // namespace

int main(int argc, char **argv)
{
    // Read by gst_init(). The table goes to the bus as well, from where the report takes it.
    (void)g_setenv("GST_TRACERS", "hlcopies(file=/dev/null)", FALSE);
    const auto options = parse_options(argc, argv);
    if (!options) {
        say("camera-demo: " + options.error());
        return 2;
    }
    const int status = options->list ? list() : run(*options);
    gst_deinit();
    return status;
}
