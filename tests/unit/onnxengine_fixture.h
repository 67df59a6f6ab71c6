// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "fakeresolver.h"
#include "inference/engine.h"
#include "temporarydir.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

// What the tests of the engine on the host's CPU share.
namespace hl::test {

inline std::string test_model(const std::string &name)
{
    const char *dir = std::getenv("HL_TEST_MODELS");
    return std::string(dir ? dir : ".") + "/" + name;
}

class OnnxEngineTest : public testing::Test {
protected:
    Result<std::shared_ptr<Engine>>
    create(const std::string &path, const EngineOptions &options = {.compute_threads = 1}, const std::string &info = {})
    {
        auto model = Model::load(path, info);
        if (!model)
            return std::unexpected(model.error());
        return create_cpu_engine(*model, options, resolver);
    }

    // A frame of one colour (per channel or plane sample) in its own memory.
    FrameLayout filled(const FrameFormat &format, std::array<uint8_t, 4> value, uint32_t stride_align = 4,
                       Placement placement = Placement::Host)
    {
        const PlanePlacement planes = packed_placement(format, stride_align);
        const Memory memory = resolver->allocate(planes.size, placement);
        const auto bytes = resolver->resolve(memory).value();
        const size_t pixel = format.format == PixelFormat::RGB ? 3 : format.format == PixelFormat::BGRx ? 4 : 0;
        for (size_t p = 0; p < pixel_format_info(format.format).planes; ++p)
            for (uint32_t row = 0; row < plane_rows(format, p); ++row)
                for (uint32_t x = 0; x < plane_row_bytes(format, p); ++x) {
                    const size_t channel = pixel                                ? x % pixel
                                           : p == 0                             ? 0
                                           : format.format == PixelFormat::I420 ? p
                                                                                : 1 + x % 2;
                    bytes[planes.offset[p] + row * planes.stride[p] + x] = std::byte{value[channel]};
                }
        return layout_in(format, memory, planes);
    }

    std::vector<float> floats(const Memory &output, const EngineTensor &tensor)
    {
        std::vector<float> out(tensor.bytes / sizeof(float));
        std::memcpy(out.data(), resolver->resolve(output).value().data() + tensor.offset, tensor.bytes);
        return out;
    }

    // Submits one request and waits for its end.
    Status run(Engine &engine, InferRequest request)
    {
        CompletionWaiter waiter;
        if (auto status = engine.submit(std::span(&request, 1), waiter); !status)
            return status;
        return waiter.wait().value();
    }

    TemporaryDir cache;
    ScopedEnv cache_env{"XDG_CACHE_HOME", cache.path().string()};
    std::shared_ptr<FakeResolver> resolver = std::make_shared<FakeResolver>();
};

} // namespace hl::test
