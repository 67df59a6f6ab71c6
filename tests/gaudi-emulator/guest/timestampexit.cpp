// SPDX-License-Identifier: LGPL-2.1-or-later

// Registers for the timestamp of an interrupt that never comes, and exits: "pending" with the registration pending,
// "none" without one. After the first, Linux 7.3 resets a Gaudi2, whose memory it thinks in use, and reads the
// registration once it has freed it (common/command_submission.c wake_pending_user_interrupt_threads();
// docs/patches/0002 mends it).

#include "core/uniquefd.h"

#include <drm/habanalabs_accel.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string_view>

namespace {

bool call(const hl::UniqueFd &node, unsigned long request, void *arguments, const char *what)
{
    if (ioctl(node.get(), request, arguments) == 0)
        return true;
    std::perror(what);
    return false;
}

} // namespace

int main(int argc, char **argv)
{
    const bool pending = argc > 1 && argv[1] == std::string_view("pending");
    const hl::UniqueFd node(open("/dev/accel/accel0", O_RDWR | O_CLOEXEC));
    hl_info_hw_ip_info chip{};
    hl_info_args info{};
    info.op = HL_INFO_HW_IP_INFO;
    info.return_pointer = reinterpret_cast<uintptr_t>(&chip);
    info.return_size = sizeof chip;
    hl_cb_args counters{};
    counters.in.op = HL_CB_OP_CREATE;
    counters.in.cb_size = 4096;
    hl_mem_args timestamps{};
    timestamps.in.op = HL_MEM_OP_TS_ALLOC;
    timestamps.in.num_of_elements = 1;
    if (!call(node, DRM_IOCTL_HL_INFO, &info, "info") || !call(node, DRM_IOCTL_HL_CB, &counters, "counters") ||
        !call(node, DRM_IOCTL_HL_MEMORY, &timestamps, "timestamps"))
        return 1;
    if (pending) {
        hl_wait_cs_args wait{};
        wait.in.flags = static_cast<uint32_t>(chip.first_available_interrupt_id) << 20 | HL_WAIT_CS_FLAGS_INTERRUPT |
                        HL_WAIT_CS_FLAGS_INTERRUPT_KERNEL_CQ | HL_WAIT_CS_FLAGS_REGISTER_INTERRUPT;
        wait.in.cq_counters_handle = counters.out.cb_handle;
        wait.in.target = 1;
        wait.in.timestamp_handle = timestamps.out.handle;
        if (!call(node, DRM_IOCTL_HL_WAIT_CS, &wait, "registration"))
            return 1;
    }
    std::puts(pending ? "registered" : "not registered");
    std::fflush(stdout);
    return 0;
}
