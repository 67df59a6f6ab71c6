// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzztargets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace hl::test {
namespace {

struct Seed {
    FuzzTarget target;
    std::filesystem::path file;
};

std::vector<Seed> corpora()
{
    std::vector<Seed> seeds;
    for (const FuzzTarget &target : fuzz_targets)
        for (const auto &entry :
             std::filesystem::directory_iterator(std::filesystem::path(HL_FUZZ_CORPORA) / target.name))
            seeds.push_back({target, entry.path()});
    std::ranges::sort(seeds, {}, &Seed::file);
    return seeds;
}

class FuzzCorpus : public testing::TestWithParam<Seed> {};

TEST_P(FuzzCorpus, KeepsItsPromises)
{
    std::ifstream in(GetParam().file, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    GetParam().target.run(std::as_bytes(std::span(text)));
}

std::string name_of(const testing::TestParamInfo<Seed> &seed)
{
    return std::string(seed.param.target.name) + "_" + seed.param.file.stem().string();
}

INSTANTIATE_TEST_SUITE_P(All, FuzzCorpus, testing::ValuesIn(corpora()), name_of);

} // namespace
} // namespace hl::test
