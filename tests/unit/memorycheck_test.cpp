// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/uniquefd.h"
#include "device/memorycheck.h"
#include "simtest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

using hl::ErrorCode;
using hl::Memory;
using hl::MemoryOwner;
using hl::Placement;
using testing::HasSubstr;

namespace {

constexpr MemoryOwner owner{.device = 1, .generation = 3, .name = "a Gaudi"};
constexpr Memory whole{.device = 1, .generation = 3, .handle = 0x20, .size = 16384, .placement = Placement::Device};

Memory of_device(uint32_t device)
{
    Memory memory = whole;
    memory.device = device;
    return memory;
}

Memory of_generation(uint32_t generation)
{
    Memory memory = whole;
    memory.generation = generation;
    return memory;
}

} // namespace

TEST(MemoryCheck, ErrorsNameTheDeviceAndTheKernelsWord)
{
    const auto none = hl::check_allocation_size(owner, 0, Placement::Host);
    ASSERT_CODE(none, ErrorCode::MemoryRange);
    EXPECT_EQ(none.error().device, "a Gaudi");
    EXPECT_EQ(none.error().sys_errno, EINVAL);
    const auto all = hl::check_allocation_size(owner, UINT64_MAX, Placement::Host);
    ASSERT_CODE(all, ErrorCode::MemoryHost);
    EXPECT_EQ(all.error().sys_errno, ENOMEM);
}

TEST(MemoryCheck, AnAllocationIsNotEmptyNorAbsurd)
{
    constexpr uint64_t most = uint64_t{1} << 62;
    EXPECT_OK(hl::check_allocation_size(owner, 1, Placement::Device));
    EXPECT_OK(hl::check_allocation_size(owner, most, Placement::Device));
    EXPECT_CODE(hl::check_allocation_size(owner, most + 1, Placement::Device), ErrorCode::MemoryFull);
    EXPECT_CODE(hl::check_allocation_size(owner, most + 1, Placement::Host), ErrorCode::MemoryHost);
}

TEST(MemoryCheck, MemoryLiesInItsAllocation)
{
    EXPECT_OK(hl::check_memory(owner, whole, &whole));
    EXPECT_OK(hl::check_memory(owner, whole.part(16384, 0), &whole));
    EXPECT_OK(hl::check_memory(owner, whole.part(1, 16383), &whole));
    EXPECT_CODE(hl::check_memory(owner, whole.part(1, 16384), &whole), ErrorCode::MemoryRange);
    EXPECT_CODE(hl::check_memory(owner, whole.part(16385, 0), &whole), ErrorCode::MemoryRange);
    // Whose sum is small again.
    EXPECT_CODE(hl::check_memory(owner, whole.part(4096, UINT64_MAX - 4095), &whole), ErrorCode::MemoryRange);
}

TEST(MemoryCheck, MemoryIsOfThisDeviceGenerationAndPlacement)
{
    EXPECT_CODE(hl::check_memory(owner, of_device(2), &whole), ErrorCode::MemoryForeign);
    EXPECT_CODE(hl::check_memory(owner, of_generation(2), nullptr), ErrorCode::MemoryStale);
    EXPECT_CODE(hl::check_memory(owner, whole, nullptr), ErrorCode::MemoryForeign);
    Memory elsewhere = whole;
    elsewhere.placement = Placement::Host;
    EXPECT_CODE(hl::check_memory(owner, elsewhere, &whole), ErrorCode::MemoryForeign);
}

TEST(MemoryCheck, WhatWentWithItsGenerationMayBeReleased)
{
    EXPECT_OK(hl::check_release_of_none(owner, of_generation(2)));
    EXPECT_CODE(hl::check_release_of_none(owner, whole), ErrorCode::MemoryForeign);
    EXPECT_CODE(hl::check_release_of_none(owner, of_device(2)), ErrorCode::MemoryForeign);
    Memory other = of_generation(2);
    other.device = 2;
    EXPECT_CODE(hl::check_release_of_none(owner, other), ErrorCode::MemoryForeign);
}

TEST(MemoryCheck, WhoHoldsAnExportIsNamed)
{
    const hl::Error error = hl::still_exported(owner, 2, {getpid()});
    EXPECT_EQ(error.code, ErrorCode::MemoryExported);
    EXPECT_EQ(error.device, "a Gaudi");
    EXPECT_THAT(error.cause, HasSubstr("2 exports"));
    EXPECT_THAT(error.cause, HasSubstr(std::to_string(getpid())));
}

TEST(MemoryCheck, WholePagesCanBeExported)
{
    EXPECT_OK(hl::check_export_pages(owner, whole));
    EXPECT_OK(hl::check_export_pages(owner, whole.part(4096, 4096)));
    for (const Memory &part : {whole.part(0, 0), whole.part(0, 4095), whole.part(1, 4096), whole.part(2048, 2048)})
        EXPECT_CODE(hl::check_export_pages(owner, part), ErrorCode::MemoryRange);
}

TEST(MemoryCheck, ADescriptorIsKnownByItsFile)
{
    const hl::UniqueFd file(memfd_create("memorycheck", MFD_CLOEXEC)), again(dup(file.get()));
    const auto one = hl::exported_file(owner, file.get()), other = hl::exported_file(owner, again.get());
    ASSERT_OK(one);
    ASSERT_OK(other);
    EXPECT_EQ(*one, *other);
    const auto none = hl::exported_file(owner, -1);
    ASSERT_CODE(none, ErrorCode::MemoryForeign);
    EXPECT_EQ(none.error().sys_errno, EBADF);
}

TEST(MemoryCheck, AnExportOfThisGenerationIsResolved)
{
    const auto resolved = hl::check_resolved(owner, whole);
    ASSERT_OK(resolved);
    EXPECT_EQ(*resolved, whole);
    EXPECT_CODE(hl::check_resolved(owner, std::nullopt), ErrorCode::MemoryForeign);
    EXPECT_CODE(hl::check_resolved(owner, of_generation(2)), ErrorCode::MemoryStale);
}
