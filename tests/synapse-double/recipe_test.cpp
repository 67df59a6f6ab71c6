// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Recipes of the double: what is refused, what a recipe tells of itself, and that a launch computes what its graph says
// from frames in HBM. The recipes are those of make_test_recipes.py.
#include "synapsetesting.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

using hl::test::Mapped;
using hl::test::SynapseTest;

namespace {

class Recipes : public SynapseTest {
protected:
    [[nodiscard]] std::vector<synRetrievedLaunchTensorInfo> tensors_of(synRecipeHandle handle)
    {
        uint32_t count = 0;
        EXPECT_EQ(syn.synTensorRetrieveLaunchAmount(handle, &count), synSuccess);
        std::vector<uint64_t> ids(count);
        EXPECT_EQ(syn.synTensorRetrieveLaunchIds(handle, ids.data(), count), synSuccess);
        std::vector<synRetrievedLaunchTensorInfo> infos(count);
        for (uint32_t i = 0; i < count; ++i)
            infos[i].tensorId = ids[i];
        EXPECT_EQ(syn.synTensorRetrieveLaunchInfoById(handle, count, infos.data()), synSuccess);
        return infos;
    }
};

// The recipe "good" or one like it with its tensors in HBM, in one allocation a page apart each.
class Launches : public Recipes {
protected:
    static constexpr uint64_t page = 4096;

    void prepare(const char *name = "good")
    {
        acquire();
        stream = new_stream();
        handle = recipe(name);
        hbm = allocate(16 * page);
        for (const auto &info : tensors_of(handle)) {
            synLaunchTensorInfo tensor{};
            tensor.tensorId = info.tensorId;
            tensor.pTensorAddress = hbm + page * launch.size();
            launch.push_back(tensor);
        }
        ASSERT_EQ(syn.synWorkspaceGetSize(&workspace_bytes, handle), synSuccess);
        workspace = workspace_bytes ? allocate(workspace_bytes) : 0;
    }
    [[nodiscard]] synStatus run()
    {
        return syn.synLaunch(stream, launch.data(), static_cast<uint32_t>(launch.size()), workspace, handle, 0);
    }
    void copy(Mapped &host, uint64_t address, synDmaDir direction)
    {
        const uint64_t source = direction == HOST_TO_DRAM ? host.address() : address;
        const uint64_t target = direction == HOST_TO_DRAM ? address : host.address();
        EXPECT_EQ(syn.synMemCopyAsync(stream, source, host.bytes().size(), target, direction), synSuccess);
    }

    synStreamHandle stream = nullptr;
    synRecipeHandle handle = nullptr;
    std::vector<synLaunchTensorInfo> launch; // y, uv, sums, uv_out
    uint64_t hbm = 0, workspace = 0, workspace_bytes = 0;
};

} // namespace

// HCL synapse_api.h: synRecipeDeSerialize needs no device. Which status is whose is ours, from those the facts name.
TEST_F(Recipes, ThatCannotBeRunAreRefused)
{
    const auto refused = [&](const std::string &name, synStatus expected) {
        synRecipeHandle handle = nullptr;
        testing::internal::CaptureStderr();
        EXPECT_EQ(syn.synRecipeDeSerialize(&handle, recipe_file(name).c_str()), expected) << name;
        EXPECT_NE(testing::internal::GetCapturedStderr().find("SynapseAI double: "), std::string::npos) << name;
    };
    for (const char *name :
         {"missing", "empty", "no-recipe", "cut-in-description", "cut-in-graph", "torn-graph", "long-description",
          "no-json", "table-differs", "table-short", "table-absurd", "table-empty-row"})
        refused(name, synWrongParamsFile);
    refused("other-release", synUnsupported);
}

TEST_F(Recipes, OfAnotherChipAreRefusedWhereOneIs)
{
    synRecipeHandle handle = recipe("other-chip");
    acquire();
    synRecipeHandle second = nullptr;
    EXPECT_EQ(syn.synRecipeDeSerialize(&second, recipe_file("other-chip").c_str()), synDeviceTypeMismatch);
    const synLaunchTensorInfo nothing{};
    EXPECT_EQ(syn.synLaunch(new_stream(), &nothing, 0, 0, handle, 0), synDeviceTypeMismatch);
}

// HCL synapse_api.h: sizes fastest first; the caller fills the ids.
TEST_F(Recipes, TellWhatTheyWant)
{
    const auto handle = recipe("good");
    const auto infos = tensors_of(handle);
    ASSERT_EQ(infos.size(), 4u);
    EXPECT_STREQ(infos[1].tensorName, "uv");
    EXPECT_EQ(infos[1].tensorDataType, syn_type_uint8);
    EXPECT_EQ(infos[1].tensorDims, 4u);
    EXPECT_TRUE(infos[1].isInput);
    const std::array<uint64_t, 5> sizes{2, 3, 2, 1, 0};
    EXPECT_TRUE(std::equal(sizes.begin(), sizes.end(), infos[1].tensorMaxSize));
    EXPECT_TRUE(std::equal(sizes.begin(), sizes.end(), infos[1].tensorMinSize));
    EXPECT_STREQ(infos[2].tensorName, "sums");
    EXPECT_EQ(infos[2].tensorDataType, syn_type_float);
    EXPECT_FALSE(infos[2].isInput);

    const char *name = "sums";
    uint64_t id = 0;
    EXPECT_EQ(syn.synTensorRetrieveIds(handle, &name, &id, 1), synSuccess);
    EXPECT_EQ(id, infos[2].tensorId);
    auto unknown = infos[0];
    unknown.tensorId = 12345;
    EXPECT_EQ(syn.synTensorRetrieveLaunchInfoById(handle, 1, &unknown), synInvalidArgument);
    std::array<char[syn_name_size], 4> names{};
    EXPECT_EQ(syn.synTensorRetrieveNames(handle, names.data(), 4), synSuccess);
    EXPECT_STREQ(names[3], "uv_out");
    const std::array attributes{RECIPE_ATTRIBUTE_WORKSPACE_SIZE, RECIPE_ATTRIBUTE_NUM_PERSISTENT_TENSORS};
    std::array<uint64_t, 2> values{};
    EXPECT_EQ(syn.synRecipeGetAttribute(values.data(), attributes.data(), 2, handle), synSuccess);
    EXPECT_EQ(values, (std::array<uint64_t, 2>{200000, 4}));
    EXPECT_EQ(syn.synRecipeDestroy(handle), synSuccess);
    EXPECT_EQ(syn.synRecipeDestroy(handle), synInvalidArgument);
}

TEST_F(Launches, ComputeFromHbmToHbm)
{
    prepare();
    Mapped y(syn, 24), uv(syn, 12), sums(syn, 96), uv_out(syn, 12), ends(syn, workspace_bytes);
    std::iota(y.bytes().begin(), y.bytes().end(), uint8_t{200});
    std::iota(uv.bytes().begin(), uv.bytes().end(), uint8_t{7});
    copy(y, hbm, HOST_TO_DRAM);
    copy(uv, hbm + page, HOST_TO_DRAM);
    EXPECT_EQ(run(), synSuccess);
    copy(sums, hbm + 2 * page, DRAM_TO_HOST);
    copy(uv_out, hbm + 3 * page, DRAM_TO_HOST);
    copy(ends, workspace, DRAM_TO_HOST);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synSuccess);
    std::array<float, 24> got{};
    std::memcpy(got.data(), sums.bytes().data(), sizeof got);
    for (size_t i = 0; i < got.size(); ++i)
        EXPECT_EQ(got[i], 2.0f * y.bytes()[i] + 1.0f) << i;
    EXPECT_TRUE(uv_out.bytes() == uv.bytes());
    EXPECT_EQ(ends.bytes().front(), 0xA5) << "a chip writes to its workspace";
    EXPECT_EQ(ends.bytes().back(), 0xA5);
}

TEST_F(Launches, GoByNameToo)
{
    prepare("no-workspace");
    Mapped uv(syn, 12, 9), uv_out(syn, 12);
    const std::array<const char *, 4> names{"y", "uv", "sums", "uv_out"};
    for (size_t i = 0; i < launch.size(); ++i) {
        launch[i].tensorId = 0;
        launch[i].tensorName = names[i];
    }
    copy(uv, hbm + page, HOST_TO_DRAM);
    EXPECT_EQ(syn.synLaunch(stream, launch.data(), 4, 0, handle, SYN_FLAGS_TENSOR_NAME), synSuccess);
    copy(uv_out, hbm + 3 * page, DRAM_TO_HOST);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synSuccess);
    EXPECT_TRUE(uv_out.bytes() == uv.bytes());
}

TEST_F(Launches, WantEveryTensorOnceAndTheWorkspace)
{
    prepare();
    const auto good = launch;
    const auto refused = [&](synStatus expected) {
        EXPECT_EQ(run(), expected);
        launch = good;
    };
    launch.pop_back();
    refused(synInvalidArgument);
    launch[1] = launch[0];
    refused(synInvalidArgument);
    launch[1].tensorId += 1;
    refused(synInvalidArgument);
    launch[1].pTensorAddress = 0;
    refused(synInvalidArgument);
    launch[1].tensorType = static_cast<synTensorType>(3);
    refused(synInvalidTensorProperties);
    std::ranges::copy(std::array<uint64_t, 4>{1, 2, 3, 2}, launch[1].tensorSize); // slowest first is the wrong way
    refused(synInvalidTensorProperties);
    std::ranges::copy(std::array<uint64_t, 4>{2, 3, 2, 1}, launch[1].tensorSize);
    refused(synSuccess);
    const uint64_t there = std::exchange(workspace, 0);
    refused(synInvalidArgument);
    workspace = there;
    refused(synSuccess);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synSuccess);
}

TEST_F(Launches, FailTheDeviceWhereMemoryIsMissing)
{
    prepare();
    launch[2].pTensorAddress = hbm + 16 * page - 8; // sums: 96 bytes
    testing::internal::CaptureStderr();
    EXPECT_EQ(run(), synSuccess) << "the chip notices, not the call";
    EXPECT_EQ(syn.synStreamSynchronize(stream), synDeviceReset);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("tensor sums"), std::string::npos);
}

TEST_F(Launches, FailTheDeviceWhereTheWorkspaceIsSmall)
{
    prepare();
    workspace = allocate(workspace_bytes - 1);
    testing::internal::CaptureStderr();
    EXPECT_EQ(run(), synSuccess);
    EXPECT_EQ(syn.synStreamSynchronize(stream), synDeviceReset);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("the workspace"), std::string::npos);
}

TEST_F(Launches, StallAndFailOnOrder)
{
    order("synLaunch:1=synFailedToSubmitWorkload,synLaunch:2=stall");
    prepare();
    const auto event = new_event();
    EXPECT_EQ(run(), synFailedToSubmitWorkload);
    EXPECT_EQ(syn.synStreamQuery(stream), synSuccess);
    EXPECT_EQ(run(), synSuccess);
    EXPECT_EQ(syn.synEventRecord(event, stream), synSuccess);
    EXPECT_EQ(syn.synRecipeDestroy(handle), synSuccess) << "the launch under way keeps what it needs (ours)";
    EXPECT_EQ(syn.synEventQuery(event), synBusy);
}
