// SPDX-License-Identifier: LGPL-2.1-or-later

// In the virtual machine, each function below a root port of its own: the kernel knows of no way between them
// (drivers/pci/p2pdma.c calc_map_type_and_dist(), pci_p2pdma_whitelist), and every map is refused, also to those that
// allow peers.

#include "guest/capturenode.h"
#include "guest/hldevice.h"
#include "guest/screen.h"

#include "sgregs.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>

namespace gaudiemu::guest {
namespace {

class Apart : public ::testing::Test {
protected:
    void SetUp() override
    {
        uint64_t handle = 0, address = 0;
        ASSERT_EQ(device.open(), 0);
        ASSERT_EQ(device.allocate(4096, handle), 0);
        ASSERT_EQ(device.map(handle, address), 0);
        ASSERT_EQ(device.export_dmabuf(address, 1 << 20, 0, dmabuf), 0);
    }

    HlDevice device;
    hl::UniqueFd dmabuf;
};

// Our importer hands on the exporter's word; those of videobuf2 make EINVAL of it.
TEST_F(Apart, TheCardIsRefused)
{
    CaptureNode camera;
    uint32_t bytes = 0;
    ASSERT_EQ(camera.open(std::getenv("HL_VM_CARD")), 0);
    ASSERT_EQ(camera.set_format(HL_CARD_YUYV, 640, 480, bytes), 0);
    ASSERT_EQ(camera.request(1), 0);
    EXPECT_EQ(camera.queue(0, dmabuf.get(), bytes), EPERM);
}

TEST_F(Apart, TheEngineIsRefused)
{
    Screen screen;
    uint32_t handle = 0;
    ASSERT_EQ(screen.open(std::getenv("HL_VM_SCANOUT")), 0);
    EXPECT_EQ(screen.import(dmabuf.get(), handle), EPERM);
}

} // namespace
} // namespace gaudiemu::guest
