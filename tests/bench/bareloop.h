// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/frameformat.h"

#include <chrono>
#include <cstdint>
#include <string>

// The three loops that bound what any element can reach: preprocessing and ONNX Runtime, nothing else.
enum class LoopKind {
    OneCaller,     // one thread preprocesses and runs; the runtime uses all cores
    CallerPerCore, // a thread per core preprocesses and runs, one runtime thread each
    Pipelined,     // one thread preprocesses, one runs
};

struct LoopResult {
    uint64_t frames = 0;
    double seconds = 0;
};

// Runs `model` (one float32 NCHW image input) over `count` pre-made noise frames of `format`, in turn, for `duration`.
LoopResult run_bare_loop(const std::string &model, const hl::FrameFormat &format, LoopKind kind,
                         std::chrono::duration<double> duration, size_t count);

// Preprocessing alone, on the calling thread, of 8 frames in turn.
LoopResult run_preprocess_loop(const hl::FrameFormat &format, uint32_t width, uint32_t height,
                               std::chrono::duration<double> duration);
