// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bareloop.h"

#include "inference/preprocess.h"

#include <onnxruntime_cxx_api.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Frames {
    Frames(const hl::FrameFormat &format, size_t count)
        : placement(hl::packed_placement(format)), data(count), view(count)
    {
        uint32_t noise = 1;
        for (auto &bytes : data) {
            bytes.resize(placement.size);
            for (auto &b : bytes) {
                noise = noise * 1664525u + 1013904223u;
                b = static_cast<std::byte>(noise >> 24);
            }
        }
        for (size_t i = 0; i < count; ++i) {
            view[i].format = format;
            for (size_t p = 0; p < hl::pixel_format_info(format.format).planes; ++p) {
                view[i].data[p] = data[i].data() + placement.offset[p];
                view[i].stride[p] = placement.stride[p];
            }
        }
    }

    [[nodiscard]] const hl::FrameView &turn(size_t i) const { return view[i % view.size()]; }

    hl::PlanePlacement placement;
    std::vector<std::vector<std::byte>> data;
    std::vector<hl::FrameView> view;
};

hl::Preprocess make_plan(const hl::FrameFormat &format, uint32_t width, uint32_t height)
{
    auto plan = hl::Preprocess::plan(format, {.width = width, .height = height});
    if (!plan) {
        std::cerr << plan.error().details() << '\n';
        std::exit(2);
    }
    return *plan;
}

// A session with its input and output bound once: what a careful user of the runtime would write.
class Runner {
public:
    Runner(Ort::Env &env, const std::string &model, int threads)
        : session_(env, model.c_str(), options(threads)), binding_(session_)
    {
        Ort::AllocatorWithDefaultOptions allocator;
        const auto in_name = session_.GetInputNameAllocated(0, allocator);
        const auto out_name = session_.GetOutputNameAllocated(0, allocator);
        shape_ = session_.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
        out_shape_ = session_.GetOutputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
        input_.resize(elements(shape_));
        output_.resize(elements(out_shape_));
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        in_value_ = Ort::Value::CreateTensor<float>(memory, input_.data(), input_.size(), shape_.data(), shape_.size());
        out_value_ = Ort::Value::CreateTensor<float>(memory, output_.data(), output_.size(), out_shape_.data(),
                                                     out_shape_.size());
        binding_.BindInput(in_name.get(), in_value_);
        binding_.BindOutput(out_name.get(), out_value_);
    }

    [[nodiscard]] uint32_t width() const { return static_cast<uint32_t>(shape_[3]); }
    [[nodiscard]] uint32_t height() const { return static_cast<uint32_t>(shape_[2]); }
    [[nodiscard]] std::span<std::byte> input() { return std::as_writable_bytes(std::span(input_)); }
    void run() { session_.Run(Ort::RunOptions{nullptr}, binding_); }

private:
    static Ort::SessionOptions options(int threads)
    {
        Ort::SessionOptions o;
        o.SetIntraOpNumThreads(threads);
        o.SetGraphOptimizationLevel(GraphOptimizationLevel::ORT_ENABLE_ALL);
        return o;
    }
    static size_t elements(const std::vector<int64_t> &shape)
    {
        size_t n = 1;
        for (const int64_t d : shape)
            n *= static_cast<size_t>(d);
        return n;
    }

    Ort::Session session_;
    Ort::IoBinding binding_;
    std::vector<int64_t> shape_, out_shape_;
    std::vector<float> input_, output_;
    Ort::Value in_value_{nullptr}, out_value_{nullptr};
};

void call_until(Runner &runner, const hl::Preprocess &plan, const Frames &frames, Clock::time_point end,
                std::atomic<uint64_t> &done)
{
    std::vector<std::byte> scratch(plan.scratch_bytes());
    for (size_t i = 0; Clock::now() < end; ++i) {
        plan.run(frames.turn(i), {}, scratch, runner.input());
        runner.run();
        done.fetch_add(1, std::memory_order_relaxed);
    }
}

// Preprocessing of one frame overlaps the run of the one before: two tensors go back and forth.
void run_pipelined(Runner (&runners)[2], const hl::Preprocess &plan, const Frames &frames, Clock::time_point end,
                   std::atomic<uint64_t> &done)
{
    std::mutex mutex;
    std::condition_variable changed;
    bool full[2] = {false, false};
    bool stop = false;

    std::thread feeder([&] {
        std::vector<std::byte> scratch(plan.scratch_bytes());
        for (size_t i = 0;; ++i) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return stop || !full[i % 2]; });
            if (stop)
                return;
            lock.unlock();
            plan.run(frames.turn(i), {}, scratch, runners[i % 2].input());
            lock.lock();
            full[i % 2] = true;
            changed.notify_all();
        }
    });
    for (size_t i = 0; Clock::now() < end; ++i) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return full[i % 2]; });
        lock.unlock();
        runners[i % 2].run();
        done.fetch_add(1, std::memory_order_relaxed);
        lock.lock();
        full[i % 2] = false;
        changed.notify_all();
    }
    {
        const std::lock_guard lock(mutex);
        stop = true;
        changed.notify_all();
    }
    feeder.join();
}

} // namespace

LoopResult run_bare_loop(const std::string &model, const hl::FrameFormat &format, LoopKind kind,
                         std::chrono::duration<double> duration, size_t count)
{
    Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
    const auto cores = std::max(1u, std::thread::hardware_concurrency());
    const Frames frames(format, count);
    std::atomic<uint64_t> done{0};
    Clock::time_point begin;
    const auto timed = [&](auto &&work) {
        begin = Clock::now();
        work(begin + std::chrono::duration_cast<Clock::duration>(duration));
        return LoopResult{done.load(), std::chrono::duration<double>(Clock::now() - begin).count()};
    };

    switch (kind) {
    case LoopKind::OneCaller: {
        Runner runner(env, model, static_cast<int>(cores));
        const auto plan = make_plan(format, runner.width(), runner.height());
        return timed([&](Clock::time_point end) { call_until(runner, plan, frames, end, done); });
    }
    case LoopKind::CallerPerCore: {
        std::vector<std::unique_ptr<Runner>> runners;
        for (unsigned i = 0; i < cores; ++i)
            runners.push_back(std::make_unique<Runner>(env, model, 1));
        const auto plan = make_plan(format, runners[0]->width(), runners[0]->height());
        return timed([&](Clock::time_point end) {
            std::vector<std::jthread> threads;
            for (auto &runner : runners)
                threads.emplace_back([&, end] { call_until(*runner, plan, frames, end, done); });
        });
    }
    case LoopKind::Pipelined: {
        const int threads = static_cast<int>(std::max(1u, cores - 1));
        Runner runners[2] = {Runner(env, model, threads), Runner(env, model, threads)};
        const auto plan = make_plan(format, runners[0].width(), runners[0].height());
        return timed([&](Clock::time_point end) { run_pipelined(runners, plan, frames, end, done); });
    }
    }
    return {};
}

LoopResult run_preprocess_loop(const hl::FrameFormat &format, uint32_t width, uint32_t height,
                               std::chrono::duration<double> duration)
{
    const Frames frames(format, 8);
    const auto plan = make_plan(format, width, height);
    std::vector<std::byte> scratch(plan.scratch_bytes()), tensor(plan.output_bytes());
    LoopResult result;
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration_cast<Clock::duration>(duration);
    while (Clock::now() < end)
        plan.run(frames.turn(result.frames++), {}, scratch, tensor);
    result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return result;
}
