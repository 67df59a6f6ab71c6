// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/modelcheck.h"
#include "onnxwire.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <format>
#include <fstream>

using namespace hl;
using namespace hl::test::wire;
using hl::test::TemporaryDir;
using testing::HasSubstr;

namespace {

struct Place {
    const char *name;
    std::string (*model)(const std::string &tensor);
};

// Wherever ONNX Runtime finds tensors.
const Place places[] = {
    {"initializer", [](const std::string &t) { return model_of(bytes(5, t)); }},
    {"second graph field", [](const std::string &t) { return model_of("") + bytes(7, bytes(5, t)); }},
    {"sparse initializer: values", [](const std::string &t) { return model_of(bytes(15, bytes(1, t))); }},
    {"sparse initializer: indices", [](const std::string &t) { return model_of(bytes(15, bytes(2, t))); }},
    {"attribute tensor", [](const std::string &t) { return model_of(bytes(1, node_with(bytes(5, t)))); }},
    {"attribute tensors", [](const std::string &t) { return model_of(bytes(1, node_with(bytes(10, t)))); }},
    {"attribute sparse", [](const std::string &t) { return model_of(bytes(1, node_with(bytes(22, bytes(1, t))))); }},
    {"attribute sparses", [](const std::string &t) { return model_of(bytes(1, node_with(bytes(23, bytes(2, t))))); }},
    {"subgraph", [](const std::string &t) { return model_of(bytes(1, node_with(bytes(6, bytes(5, t))))); }},
    {"subgraphs", [](const std::string &t) { return model_of(bytes(1, node_with(bytes(11, bytes(5, t))))); }},
    {"20 graphs deep",
     [](const std::string &t) {
         std::string graph = bytes(5, t);
         for (int i = 0; i < 20; ++i)
             graph = bytes(1, node_with(bytes(6, graph)));
         return model_of(graph);
     }},
    {"function", [](const std::string &t) { return model_of("") + bytes(25, bytes(7, node_with(bytes(5, t)))); }},
    {"function's default", [](const std::string &t) { return model_of("") + bytes(25, bytes(11, bytes(5, t))); }},
    {"training", [](const std::string &t) { return model_of("") + bytes(20, bytes(2, bytes(5, t))); }},
    {"before all else", [](const std::string &t) { return bytes(7, bytes(5, t)) + number(1, 8); }},
};

class ModelCheckTest : public testing::Test {
protected:
    ModelCheckTest()
    {
        std::filesystem::create_directory(dir / "model");
        std::filesystem::create_directory(dir / "model/sub");
        dir.write("secret", "0123456789ab");
        dir.write("model/inside", "0123456789ab");
        dir.write("model/sub/inside", "0123456789ab");
        std::filesystem::create_symlink("../secret", dir / "model/link-out");
        std::filesystem::create_symlink("..", dir / "model/up");
        std::filesystem::create_symlink("sub/inside", dir / "model/link-in");
        (void)::mkfifo((dir / "model/pipe").c_str(), 0600);
    }
    Status check(const std::string &content) { return check_model_file(dir.write("model/m.onnx", content)); }

    TemporaryDir dir;
};

} // namespace

TEST_F(ModelCheckTest, DataOutsideTheFolderIsRefusedWhereverItIsNamed)
{
    const std::string outside[] = {"/etc/hostname",    dir / "secret",       "../secret",
                                   "sub/../../secret", "sub/../inside",      "link-out",
                                   "up/secret",        "*/_ORT_MEM_ADDR_/*", ""};
    const std::string inside[] = {"inside", "./inside", "sub/inside", "link-in", "sub//inside"};
    std::printf("external data: %zu places x %zu locations outside, %zu inside\n", std::size(places),
                std::size(outside), std::size(inside));
    for (const Place &place : places) {
        for (const std::string &location : outside) {
            const auto refused = check(place.model(external_tensor(location)));
            EXPECT_CODE(refused, ErrorCode::ModelDataOutside) << place.name << ", " << location;
            if (refused)
                continue;
            EXPECT_THAT(refused.error().cause, HasSubstr(location));
            EXPECT_THAT(refused.error().remedy, HasSubstr("one folder"));
        }
        for (const std::string &location : inside)
            EXPECT_OK(check(place.model(external_tensor(location)))) << place.name << ", " << location;
        // Found there at all.
        EXPECT_CODE(check(place.model(external_tensor("absent"))), ErrorCode::ModelMissing) << place.name;
    }
}

TEST_F(ModelCheckTest, WhatIsNoFileIsMissing)
{
    for (const char *const location : {"absent", "sub", "pipe", "inside/below"}) {
        const auto refused = check(model_of(bytes(5, external_tensor(location))));
        ASSERT_CODE(refused, ErrorCode::ModelMissing) << location;
        EXPECT_THAT(refused.error().cause, HasSubstr(location));
    }
    EXPECT_CODE(check_model_file(dir / "model/pipe"), ErrorCode::ModelMissing);
    EXPECT_CODE(check_model_file(dir / "model"), ErrorCode::ModelMissing);
    EXPECT_CODE(check_model_file(dir / "absent"), ErrorCode::ModelMissing);
}

// A repeated key does not hide the one before it, nor an entry of its own the other's value.
TEST_F(ModelCheckTest, EveryLocationCounts)
{
    EXPECT_CODE(check(model_of(bytes(5, external_tensor("../secret", bytes(13, pair("location", "inside")))))),
                ErrorCode::ModelDataOutside);
    EXPECT_CODE(check(model_of(bytes(5, external_tensor("inside", bytes(13, pair("location", "../secret")))))),
                ErrorCode::ModelDataOutside);
    EXPECT_CODE(check(model_of(bytes(5, bytes(13, bytes(2, "../secret") + bytes(1, "location"))))),
                ErrorCode::ModelDataOutside)
        << "value before key";
    EXPECT_CODE(check(model_of(bytes(5, bytes(13, pair("location", "inside") + bytes(2, "../secret"))))),
                ErrorCode::ModelDataOutside)
        << "the last value counts";
}

TEST_F(ModelCheckTest, DataThatIsTooShortIsNotCompleted)
{
    const auto with = [](const char *offset, const char *length) {
        return model_of(
            bytes(5, external_tensor("inside", bytes(13, pair("offset", offset)) + bytes(13, pair("length", length)))));
    };
    EXPECT_OK(check(with("0", "12")));
    EXPECT_OK(check(with("4", "8")));
    const std::pair<const char *, const char *> bad[] = {{"0", "13"},
                                                         {"1", "12"},
                                                         {"4096", "0"},
                                                         {"-1", "12"},
                                                         {"0", "-1"},
                                                         {"0x0", "12"},
                                                         {"", "12"},
                                                         {"18446744073709551615", "12"},
                                                         {"9223372036854775807", "9223372036854775807"},
                                                         {"99999999999999999999", "1"}};
    for (const auto &[offset, length] : bad)
        EXPECT_CODE(check(with(offset, length)), ErrorCode::ModelCorrupt) << offset << " " << length;
}

TEST_F(ModelCheckTest, WeightsBeyondTheMemoryAreTooLarge)
{
    const uint64_t vast = uint64_t{1} << 42;
    std::ofstream(dir / "model/vast").put('x');
    ASSERT_EQ(::truncate((dir / "model/vast").c_str(), static_cast<off_t>(vast)), 0);
    const std::string length = bytes(13, pair("length", std::to_string(vast)));
    const auto refused = check(model_of(bytes(5, external_tensor("vast", length))));
    ASSERT_CODE(refused, ErrorCode::ModelTooLarge);
    EXPECT_THAT(refused.error().cause, HasSubstr("4194304 MiB"));
}

TEST_F(ModelCheckTest, WhatIsNoProtobufIsCorrupt)
{
    const std::string deep = [] {
        std::string graph;
        for (int i = 0; i < 200; ++i)
            graph = bytes(1, node_with(bytes(6, graph)));
        return model_of(graph);
    }();
    const std::string broken[] = {
        "",
        std::string(1, '\0'),
        std::string(100, '\0'),
        std::string(100, '\xff'),
        "\x80",
        "<html>404</html>",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        std::string("PK\x03\x04", 4),
        std::string("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11), // graph of 2^64 - 1 bytes
        std::string("\x3a\xff\xff\xff\xff\x07xx", 8),                    // graph of 2 GiB
        std::string("\x3b\x3c", 2),                                      // a group
        number(1, 8) + std::string("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12),
        model_of(bytes(5, std::string("\x6a\x7f", 2))),
        model_of(bytes(5, external_tensor(std::string(100000, 'x')))),
        deep,
    };
    for (const std::string &content : broken) {
        const auto refused = check(content);
        ASSERT_CODE(refused, ErrorCode::ModelCorrupt) << content.substr(0, 20);
        EXPECT_LT(refused.error().cause.size(), 300u);
        EXPECT_FALSE(refused.error().remedy.empty());
    }
}

TEST_F(ModelCheckTest, NamesOfDataDoNotReachTheTerminalAsTheyAre)
{
    const auto refused = check(model_of(bytes(5, external_tensor("/\x1b[2J" + std::string(4000, 'x')))));
    ASSERT_CODE(refused, ErrorCode::ModelDataOutside);
    EXPECT_EQ(refused.error().cause.find('\x1b'), std::string::npos);
    EXPECT_LT(refused.error().cause.size(), 500u);

    const auto number = check(model_of(bytes(5, external_tensor("inside", bytes(13, pair("offset", "1\x1b[2J"))))));
    ASSERT_CODE(number, ErrorCode::ModelCorrupt);
    EXPECT_EQ(number.error().cause.find('\x1b'), std::string::npos);
    EXPECT_THAT(number.error().cause, HasSubstr("the offset \"1?[2J\""));

    dir.write("esc\x1b[2J", "0123456789ab");
    std::filesystem::create_symlink("../esc\x1b[2J", dir / "model/link-esc");
    const auto link = check(model_of(bytes(5, external_tensor("link-esc"))));
    ASSERT_CODE(link, ErrorCode::ModelDataOutside);
    EXPECT_EQ(link.error().cause.find('\x1b'), std::string::npos);
    EXPECT_THAT(link.error().cause, HasSubstr("esc?[2J"));
}

TEST_F(ModelCheckTest, HowManyNamesAreRememberedIsBounded)
{
    const std::string entry = bytes(13, pair("location", "inside"));
    std::string entries;
    for (int i = 0; i < 1'000'000; ++i)
        entries += entry;
    const auto equal = check(model_of(bytes(5, entries)));
    ASSERT_CODE(equal, ErrorCode::ModelCorrupt);
    EXPECT_THAT(equal.error().cause, HasSubstr("more than 16 locations"));

    std::string names;
    for (int i = 0; i < 1100; ++i)
        names += bytes(5, external_tensor(std::to_string(i) + std::string(4000, 'x')));
    const auto long_names = check(model_of(names));
    ASSERT_CODE(long_names, ErrorCode::ModelCorrupt);
    EXPECT_THAT(long_names.error().cause, HasSubstr("more than 4 MiB"));
}

TEST_F(ModelCheckTest, ManyTensorsShareAFile)
{
    std::string graph;
    for (int i = 0; i < 20000; ++i)
        graph += bytes(5, external_tensor("inside"));
    EXPECT_OK(check(model_of(graph)));
    std::string names;
    for (int i = 0; i < 70000; ++i)
        names += bytes(5, external_tensor(std::to_string(i)));
    EXPECT_CODE(check(model_of(names)), ErrorCode::ModelCorrupt);
}
