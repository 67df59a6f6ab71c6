// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/exporttable.h"

#include <gtest/gtest.h>

#include <optional>

using hl::ExportTable;
using hl::Memory;
using hl::Placement;

namespace {

Memory memory(uint64_t handle, uint64_t size, Placement placement)
{
    return {.device = 1, .generation = 1, .handle = handle, .size = size, .placement = placement};
}

} // namespace

// Where there is no udmabuf, every export of an allocation is its memfd: one identity, from byte 0 each.
TEST(ExportTable, OfTheExportsOfAMemfdTheLongestIsKept)
{
    ExportTable table;
    const hl::FileId memfd{7, 1}, other{7, 2};
    for (const uint64_t size : {8192, 16384, 4096})
        table.add(memfd, memory(1, size, Placement::Host), hl::UniqueFd());
    table.add(other, memory(2, 4096, Placement::Host), hl::UniqueFd());
    EXPECT_EQ(table.find(memfd), memory(1, 16384, Placement::Host));
    EXPECT_EQ(table.find(other), memory(2, 4096, Placement::Host));
    table.forget(1);
    EXPECT_EQ(table.find(memfd), std::nullopt);
    EXPECT_NE(table.find(other), std::nullopt);
}
