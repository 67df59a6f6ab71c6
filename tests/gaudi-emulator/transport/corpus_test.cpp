// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/fuzztargets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace gaudiemu::test {
namespace {

std::vector<std::filesystem::path> corpus()
{
    std::vector<std::filesystem::path> files;
    for (const auto &entry : std::filesystem::directory_iterator(HL_FUZZ_CORPUS))
        files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
}

class CorpusTest : public testing::TestWithParam<std::filesystem::path> {
protected:
    CorpusTest()
    {
        std::ifstream in(GetParam(), std::ios::binary);
        text = {std::istreambuf_iterator<char>(in), {}};
    }

    std::string text;
};

TEST_P(CorpusTest, Parses)
{
    fuzz_messages(std::as_bytes(std::span(text)));
}

TEST_P(CorpusTest, IsServed)
{
    fuzz_server(std::as_bytes(std::span(text)));
}

std::string name_of(const testing::TestParamInfo<std::filesystem::path> &file)
{
    return file.param.stem().string();
}

INSTANTIATE_TEST_SUITE_P(All, CorpusTest, testing::ValuesIn(corpus()), name_of);

} // namespace
} // namespace gaudiemu::test
