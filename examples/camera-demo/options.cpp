// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <gst/gst.h>

#include <array>
#include <memory>
#include <utility>

namespace {

using CharPtr = std::unique_ptr<gchar, decltype(&g_free)>;

constexpr std::array<std::pair<std::string_view, Display>, 4> displays{{{"auto", Display::Auto},
                                                                       {"window", Display::Window},
                                                                       {"kms", Display::Kms},
                                                                       {"terminal", Display::Terminal}}};

// Takes over a string that GLib's parser allocated.
void assign(std::string &out, gchar *text)
{
    if (const CharPtr taken(text, g_free); taken)
        out = taken.get();
}

// "640x480"
bool is_size(const std::string &text)
{
    return g_regex_match_simple("^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$", text.c_str(), G_REGEX_DEFAULT,
                                G_REGEX_MATCH_DEFAULT);
}

} // namespace

std::expected<Options, std::string> parse_options(int argc, char **argv)
{
    Options options;
    gchar *camera = nullptr, *source = nullptr, *model = nullptr, *device = nullptr, *compute = nullptr;
    gchar *size = nullptr, *display = nullptr;
    gboolean json = FALSE, list = FALSE;
    const GOptionEntry entries[] = {
        {"camera", 'c', 0, G_OPTION_ARG_STRING, &camera, "V4L2 capture node (default: the first that is found)",
         "NODE"},
        {"source", 's', 0, G_OPTION_ARG_STRING, &source, "Elements to take frames from instead of a camera", "LINE"},
        {"model", 'm', 0, G_OPTION_ARG_STRING, &model, "A detector, as hlinfer's property (default: builtin:demo)",
         "MODEL"},
        {"device", 'd', 0, G_OPTION_ARG_STRING, &device, "As hlinfer's property (default: $HL_DEVICE, then auto)",
         "SPEC"},
        {"compute", 0, 0, G_OPTION_ARG_STRING, &compute,
         "As hlinfer's property: host runs the model on the CPU, for a Gaudi without SynapseAI", "WHERE"},
        {"size", 0, 0, G_OPTION_ARG_STRING, &size, "Of the camera's frames (default: what the camera likes best)",
         "WIDTHxHEIGHT"},
        {"display", 0, 0, G_OPTION_ARG_STRING, &display,
         "window, kms or terminal (default: a window where there is a desktop, else the terminal)", "WHERE"},
        {"frames", 'n', 0, G_OPTION_ARG_INT, &options.frames, "Frames to run for (default: until Ctrl-C)", "N"},
        {"threshold", 't', 0, G_OPTION_ARG_DOUBLE, &options.threshold, "Lowest score shown (default: 0.5)", "SCORE"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "End with the report as one JSON object on the last line", nullptr},
        {"list", 'l', 0, G_OPTION_ARG_NONE, &list, "Only name the cameras; fail if there is none", nullptr},
        {}};

    const std::unique_ptr<GOptionContext, decltype(&g_option_context_free)> context(
        g_option_context_new("- find objects in what a camera sees, where the frames lie"), g_option_context_free);
    g_option_context_add_main_entries(context.get(), entries, nullptr);
    g_option_context_add_group(context.get(), gst_init_get_option_group());
    g_autoptr(GError) error = nullptr;
    const bool parsed = g_option_context_parse(context.get(), &argc, &argv, &error);
    assign(options.camera, camera);
    assign(options.source, source);
    assign(options.model, model);
    assign(options.device, device);
    assign(options.compute, compute);
    assign(options.size, size);
    options.json = json;
    options.list = list;
    std::string where = "auto";
    assign(where, display);
    if (!parsed)
        return std::unexpected(std::string(error->message));
    if (argc > 1)
        return std::unexpected("do not know '" + std::string(argv[1]) + "'; --help lists the options");
    if (options.frames < 0)
        return std::unexpected(std::string("--frames must not be negative"));
    if (!options.size.empty() && !is_size(options.size))
        return std::unexpected("--size " + options.size + " is no WIDTHxHEIGHT, for instance 640x480");

    for (const auto &[name, value] : displays)
        if (where == name) {
            options.display = value;
            return options;
        }
    return std::unexpected("there is no display '" + where + "'; take window, kms or terminal");
}
