// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <expected>
#include <string>

enum class Display { Auto, Window, Kms, Terminal };

// What the command line asks for.
struct Options {
    std::string camera; // a V4L2 capture node; empty: the first that is found
    std::string source; // a launch line to take instead of a camera; empty: a camera
    std::string model = "builtin:demo";
    std::string device;  // as hlinfer's property; empty: its default
    std::string compute; // likewise
    std::string size;    // of the camera's frames, "640x480"; empty: what the camera likes best
    Display display = Display::Auto;
    int frames = 0; // to run for; 0: until interrupted
    double threshold = 0.5;
    bool json = false;
    bool list = false; // only name the cameras
};

// Errors: one line for the user. `--help` is answered here and exits.
[[nodiscard]] std::expected<Options, std::string> parse_options(int argc, char **argv);
