// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Models that must be refused, through the whole way to ONNX Runtime.
#include "onnxengine_fixture.h"
#include "onnxwire.h"
#include "simtest.h"

#include <gmock/gmock.h>

#include <sys/inotify.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

using namespace hl;
using namespace hl::test;
using testing::HasSubstr;

namespace {

namespace fs = std::filesystem;

std::string hostile(const std::string &name)
{
    const char *dir = std::getenv("HL_HOSTILE_MODELS");
    return std::string(dir ? dir : ".") + "/" + name;
}

std::string read_file(const std::string &path)
{
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

bool is_model_error(ErrorCode code)
{
    return error_code_name(code).starts_with("HL-MOD");
}

// Sees whether somebody opens a file: the kernel's word, not ours.
class OpenWitness {
public:
    explicit OpenWitness(const std::string &file) : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK))
    {
        EXPECT_GE(::inotify_add_watch(fd_.get(), file.c_str(), IN_OPEN | IN_ACCESS), 0);
    }
    bool opened()
    {
        std::array<char, 4096> events{};
        return ::read(fd_.get(), events.data(), events.size()) > 0;
    }

private:
    UniqueFd fd_;
};

// The most memory this process had at once since reset(), in KiB.
class PeakMemory {
public:
    PeakMemory()
    {
        std::ofstream reset("/proc/self/clear_refs");
        reset << 5 << std::flush; // VmHWM becomes VmRSS (proc(5))
        EXPECT_TRUE(reset) << "VmHWM cannot be reset";
        before_ = kib_of("VmHWM:");
        const uint64_t now = kib_of("VmRSS:");
        EXPECT_GT(now, 0u);
        EXPECT_LE(before_, now + 4096) << "VmHWM was not reset"; // the kernel counts in batches
    }
    [[nodiscard]] uint64_t grown_kib() const { return kib_of("VmHWM:") - before_; }

private:
    [[nodiscard]] static uint64_t kib_of(std::string_view what)
    {
        std::ifstream in("/proc/self/status");
        for (std::string word; in >> word;)
            if (uint64_t kib = 0; word == what && in >> kib)
                return kib;
        return 0;
    }
    uint64_t before_ = 0;
};

class HostileModelTest : public OnnxEngineTest {
protected:
    Result<std::shared_ptr<Engine>> load(const std::string &path)
    {
        return create(path, {.compute_threads = 1, .measure = false});
    }
    std::string sparse(const char *name, uint64_t bytes, const std::string &front)
    {
        const std::string path = dir.write(name, front);
        EXPECT_EQ(::truncate(path.c_str(), static_cast<off_t>(bytes)), 0);
        return path;
    }

    TemporaryDir dir;
};

} // namespace

TEST_F(HostileModelTest, DataBesideTheModelIsUsed)
{
    auto engine = load(hostile("external.onnx"));
    ASSERT_OK(engine);
    const FrameLayout frame = filled({.format = PixelFormat::RGB, .width = 8, .height = 8}, {255, 0, 51, 0});
    ASSERT_OK((*engine)->configure(frame.format));
    const Memory output = resolver->allocate((*engine)->info().output_bytes, Placement::Host);
    ASSERT_OK(run(**engine, {.frame = frame, .output = output}));
    const auto means = floats(output, (*engine)->info().outputs[0]);
    ASSERT_EQ(means.size(), 3u);
    EXPECT_NEAR(means[0], 17.0f, 1e-3);
    EXPECT_NEAR(means[1], 2.0f, 1e-3);
    EXPECT_NEAR(means[2], 16 * 0.2f + 3, 1e-3);
}

TEST_F(HostileModelTest, DataElsewhereIsRefusedBeforeAnybodyOpensIt)
{
    const std::string outside = dir.write("data", read_file(hostile("external.data")));
    fs::create_directory(dir / "model");
    std::string content = read_file(hostile("external.onnx"));
    const std::string name = "external.data", elsewhere = "./../././data"; // as long
    for (size_t at = 0; (at = content.find(name, at)) != std::string::npos;)
        content.replace(at, name.size(), elsewhere);
    OpenWitness witness(outside);
    const auto refused = load(dir.write("model/m.onnx", content));
    ASSERT_CODE(refused, ErrorCode::ModelDataOutside);

    fs::create_symlink("../data", dir / "model/external.data");
    fs::copy(hostile("external.onnx"), dir / "model/link.onnx");
    EXPECT_CODE(load(dir / "model/link.onnx"), ErrorCode::ModelDataOutside);
    EXPECT_FALSE(witness.opened());

    // The witness does see it where it may be opened.
    fs::remove(dir / "model/external.data");
    fs::create_hard_link(outside, dir / "model/external.data");
    EXPECT_OK(load(dir / "model/link.onnx"));
    EXPECT_TRUE(witness.opened());
}

TEST_F(HostileModelTest, DataThatWasCutIsRefused)
{
    const std::string data = read_file(hostile("external.data"));
    fs::copy(hostile("external.onnx"), dir / "external.onnx");
    for (const size_t bytes : {size_t{0}, size_t{1}, data.size() / 2, data.size() - 1}) {
        dir.write("external.data", data.substr(0, bytes));
        EXPECT_CODE(load(dir / "external.onnx"), ErrorCode::ModelCorrupt) << bytes;
    }
    fs::remove(dir / "external.data");
    EXPECT_CODE(load(dir / "external.onnx"), ErrorCode::ModelMissing);
}

TEST_F(HostileModelTest, OutputsThatAreNoNumbersAreNamed)
{
    const auto strings = load(hostile("strings.onnx"));
    ASSERT_CODE(strings, ErrorCode::ModelUnsupported);
    EXPECT_THAT(strings.error().cause, HasSubstr("output word is a tensor of strings"));
    const auto sequence = load(hostile("sequence.onnx"));
    ASSERT_CODE(sequence, ErrorCode::ModelUnsupported);
    EXPECT_THAT(sequence.error().cause, HasSubstr("parts is a sequence"));
}

// They are told as they may be, and the network is still asked for them by its own.
TEST_F(HostileModelTest, NamesDoNotReachTheTerminalAsTheyAre)
{
    const auto engine = load(hostile("names.onnx"));
    ASSERT_OK(engine);
    const EngineTensor &input = (*engine)->info().inputs[0], &output = (*engine)->info().outputs[0];
    EXPECT_EQ(input.info.name, "image?[2J");
    EXPECT_TRUE(output.info.name.starts_with("means?[2Jxxx")) << output.info.name.substr(0, 20);
    EXPECT_LT(output.info.name.size(), 300u);
    EXPECT_EQ(output.info.id, "some?thing");
    const FrameLayout frame = filled({.format = PixelFormat::RGB, .width = 8, .height = 8}, {255, 0, 0, 0});
    ASSERT_OK((*engine)->configure(frame.format));
    const Memory memory = resolver->allocate((*engine)->info().output_bytes, Placement::Host);
    ASSERT_OK(run(**engine, {.frame = frame, .output = memory}));
    EXPECT_NEAR(floats(memory, output)[0], 1.0f, 1e-3);

    dir.write("names.onnx.modelinfo", "[modelinfo]\nversion=1.0\n[absent]\ndir=input\ntype=float32\n");
    const auto refused =
        create(hostile("names.onnx"), {.compute_threads = 1, .measure = false}, dir / "names.onnx.modelinfo");
    ASSERT_CODE(refused, ErrorCode::ModelInfoInvalid);
    EXPECT_THAT(refused.error().cause, HasSubstr("image?[2J (float32, 1x3x8x8)"));
    EXPECT_EQ(refused.error().details().find('\x1b'), std::string::npos);
    EXPECT_LT(refused.error().cause.size(), 1000u);
}

TEST_F(HostileModelTest, AbsurdSizesAreOneClearErrorAndTakeNoMemory)
{
    for (const char *const name : {"vast", "overflow", "folds", "input-huge", "input-zero", "input-negative",
                                   "input-wide", "weight-huge", "weight-negative", "weight-short", "many"}) {
        const PeakMemory peak;
        const auto refused = load(hostile(name + std::string(".onnx")));
        ASSERT_FALSE(refused) << name;
        EXPECT_TRUE(is_model_error(refused.error().code)) << name << ": " << refused.error().details();
        EXPECT_FALSE(refused.error().remedy.empty()) << name;
        EXPECT_LT(peak.grown_kib(), 64u << 10) << name;
        std::printf("%-16s %s\n", name, refused.error().headline().c_str());
    }
}

TEST_F(HostileModelTest, TornModelsAreOneErrorEach)
{
    size_t refused = 0;
    dir.write("boxes.labels.txt", read_file(test_model("boxes.labels.txt")));
    for (const char *const name : {"boxes.onnx", "planes-nv12.onnx", "image-u8-nhwc.onnx"}) {
        const std::string whole = read_file(test_model(name));
        fs::copy(test_model(name) + std::string(".modelinfo"), dir / "torn.onnx.modelinfo",
                 fs::copy_options::overwrite_existing);
        for (size_t cut = 0; cut < whole.size(); ++cut) {
            const auto loaded = load(dir.write("torn.onnx", whole.substr(0, cut)));
            // What is missing at the end may be the ids and the opset alone.
            if (loaded)
                continue;
            ++refused;
            ASSERT_TRUE(is_model_error(loaded.error().code))
                << name << " cut at " << cut << ": " << loaded.error().details();
            ASSERT_FALSE(loaded.error().remedy.empty());
        }
        EXPECT_OK(load(dir.write("torn.onnx", whole)));
    }
    std::printf("torn models refused: %zu\n", refused);
    EXPECT_GT(refused, 1000u);
}

TEST_F(HostileModelTest, FlippedBitsAreAnErrorOrAModel)
{
    std::mt19937 random(1);
    const std::string whole = read_file(test_model("boxes.onnx"));
    fs::copy(test_model("boxes.onnx.modelinfo"), dir / "flipped.onnx.modelinfo");
    dir.write("boxes.labels.txt", read_file(test_model("boxes.labels.txt")));
    size_t refused = 0, loaded = 0;
    for (int i = 0; i < 400; ++i) {
        std::string content = whole;
        for (auto flips = 1 + random() % 3; flips > 0; --flips)
            content[random() % content.size()] ^= static_cast<char>(1 << random() % 8);
        const auto result = load(dir.write("flipped.onnx", content));
        ++(result ? loaded : refused);
        if (!result) {
            EXPECT_TRUE(is_model_error(result.error().code)) << result.error().details();
        }
    }
    std::printf("flipped bits: %zu refused, %zu loaded all the same\n", refused, loaded);
    EXPECT_GT(refused, 50u);
    EXPECT_GT(loaded, 50u);
}

// Files of 2 GiB and more take no memory and no time to refuse: nobody reads them to the end.
TEST_F(HostileModelTest, HugeFilesAreRefusedInBoundedMemory)
{
    constexpr uint64_t two_gib = uint64_t{1} << 31;
    const std::string weights = wire::varint(9 << 3 | 2) + wire::varint(two_gib - 64); // raw_data
    const std::string tensor = wire::varint(5 << 3 | 2) + wire::varint(two_gib - 64 + weights.size()) + weights;
    const std::string graph = wire::varint(7 << 3 | 2) + wire::varint(two_gib - 64 + tensor.size()) + tensor;
    struct {
        const char *name;
        uint64_t bytes;
        std::string front;
        ErrorCode code;
    } const cases[] = {
        {"zeros.onnx", 3 * two_gib, "", ErrorCode::ModelTooLarge},
        {"exact.onnx", two_gib, "", ErrorCode::ModelTooLarge},
        {"below.onnx", two_gib - 1, "", ErrorCode::ModelCorrupt},
        {"vast.onnx", uint64_t{1} << 42, graph, ErrorCode::ModelTooLarge},
        {"cut.onnx", two_gib - 100, graph, ErrorCode::ModelCorrupt},
    };
    for (const auto &c : cases) {
        const PeakMemory peak;
        const auto refused = load(sparse(c.name, c.bytes, c.front));
        ASSERT_CODE(refused, c.code) << c.name;
        EXPECT_LT(peak.grown_kib(), 4096u) << c.name;
        std::printf("%-12s %6llu MiB: %s; +%llu KiB\n", c.name, static_cast<unsigned long long>(c.bytes >> 20),
                    refused.error().headline().c_str(), static_cast<unsigned long long>(peak.grown_kib()));
        fs::remove(dir / c.name);
    }
}

TEST_F(HostileModelTest, DataOfManyGibibytesIsMappedNotRead)
{
    fs::copy(hostile("external.onnx"), dir / "external.onnx");
    const std::string path = sparse("external.data", uint64_t{5} << 30, read_file(hostile("external.data")));
    const PeakMemory peak;
    EXPECT_OK(load(dir / "external.onnx"));
    EXPECT_LT(peak.grown_kib(), 64u << 10);
}
