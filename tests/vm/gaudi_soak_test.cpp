// SPDX-License-Identifier: LGPL-2.1-or-later

// 10,000 frames through hlupload and hldownload, on the kernel's driver and the emulated Gaudi2: nothing grows, by what
// the kernel and the driver count.
#include "../elements/elementtesting.h"
#include "core/uniquefd.h"

#include <drm/habanalabs_accel.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <fstream>
#include <future>
#include <iostream>
#include <thread>

using namespace hltest;

namespace {

// What this process holds, and what the kernel and the driver count of it.
struct Holdings {
    size_t descriptors = 0, threads = 0, dma_bufs = 0;
    int64_t pinned_pages = 0;
    uint64_t hbm_free = 0;
    uint64_t memory = 0;

    static Holdings now()
    {
        return {.descriptors = open_descriptors(),
                .threads = hltest::threads(),
                .dma_bufs = dma_bufs_there_are(),
                .pinned_pages = static_cast<int64_t>(number_after("/proc/vmstat", "nr_foll_pin_acquired")) -
                                static_cast<int64_t>(number_after("/proc/vmstat", "nr_foll_pin_released")),
                .hbm_free = free_hbm(),
                .memory = anonymous_bytes()};
    }

    // What is more than it was; memory by more than the heap's arenas move.
    [[nodiscard]] std::vector<std::string> grown_since(const Holdings &before) const
    {
        std::vector<std::string> out;
        const auto note = [&](bool grew, const char *what) {
            if (grew)
                out.emplace_back(what);
        };
        note(descriptors > before.descriptors, "descriptors");
        note(threads > before.threads, "threads");
        note(dma_bufs > before.dma_bufs, "dma-bufs");
        note(pinned_pages > before.pinned_pages, "pinned pages");
        note(hbm_free < before.hbm_free, "HBM");
        note(memory > before.memory + (2 << 20), "memory");
        return out;
    }

    friend std::ostream &operator<<(std::ostream &out, const Holdings &held)
    {
        return out << held.descriptors << " descriptors, " << held.threads << " threads, " << held.dma_bufs
                   << " dma-bufs, " << held.pinned_pages << " pinned pages, " << (held.hbm_free >> 20)
                   << " MiB of HBM free, " << (held.memory >> 10) << " KiB";
    }

private:
    // drivers/dma-buf/dma-buf.c dma_buf_debug_show(): a line that begins with its size for each.
    static size_t dma_bufs_there_are()
    {
        std::ifstream in("/sys/kernel/debug/dma_buf/bufinfo");
        EXPECT_TRUE(in);
        size_t count = 0;
        for (std::string line; std::getline(in, line);)
            count += !line.empty() && line.front() >= '0' && line.front() <= '9';
        return count;
    }
    // habanalabs_ioctl.c dram_usage_info(), by the control node, which anybody may have open beside the user.
    static uint64_t free_hbm()
    {
        const hl::UniqueFd control(::open(std::getenv("HL_VM_GAUDI_CONTROL"), O_RDONLY | O_CLOEXEC));
        hl_info_dram_usage usage{};
        hl_info_args arguments{};
        arguments.return_pointer = reinterpret_cast<uintptr_t>(&usage);
        arguments.return_size = sizeof usage;
        arguments.op = HL_INFO_DRAM_USAGE;
        EXPECT_EQ(::ioctl(control.get(), DRM_IOCTL_HL_INFO, &arguments), 0);
        return usage.dram_free_mem;
    }
};

constexpr int frames = 10'000;
constexpr int settled_after = 500;
constexpr int sample_every = 950;

struct Samples {
    std::vector<Holdings> all;
    int seen = 0;
};

GstPadProbeReturn sample(GstPad *, GstPadProbeInfo *, gpointer data)
{
    auto *const samples = static_cast<Samples *>(data);
    if (++samples->seen >= settled_after && (samples->seen - settled_after) % sample_every == 0)
        samples->all.push_back(Holdings::now());
    return GST_PAD_PROBE_OK;
}

TEST(GaudiSoak, NothingGrowsInTenThousandFrames)
{
    Samples samples;
    samples.all.reserve(frames / sample_every + 2);
    {
        Pipeline line("videotestsrc num-buffers=" + std::to_string(frames) +
                      " ! video/x-raw,format=NV12,width=16,height=16,framerate=30/1 ! hlupload name=up ! "
                      "hldownload name=down ! fakesink name=sink sync=false");
        const auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(line.element("sink").get(), "sink"));
        gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, sample, &samples, nullptr);
        gst_element_set_state(line.get(), GST_STATE_PLAYING);
        const auto end = GstPtr<GstMessage>::adopt(gst_bus_timed_pop_filtered(
            line.bus(), 150 * GST_SECOND, static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
        ASSERT_TRUE(end) << samples.seen << " frames";
        ASSERT_EQ(GST_MESSAGE_TYPE(end.get()), GST_MESSAGE_EOS);
    }
    EXPECT_EQ(samples.seen, frames);
    ASSERT_EQ(samples.all.size(), 11u);
    const Holdings &first = samples.all.front();
    EXPECT_GT(first.dma_bufs, 0u) << "the frames are no dma-bufs";
    for (const Holdings &one : samples.all)
        EXPECT_EQ(one.grown_since(first), std::vector<std::string>{}) << one << "; at first " << first;
    std::cout << "# " << first << "; after " << frames << " frames " << samples.all.back() << std::endl;
}

TEST(GaudiSoak, TheCheckSeesWhatGrows)
{
    const auto opened = hl::Device::open("auto");
    ASSERT_TRUE(opened) << opened.error().details();
    const std::shared_ptr<hl::Device> &device = *opened;
    const Holdings before = Holdings::now();
    auto hbm = hl::OwnedMemory::allocate(device, device->info().page_size, hl::Placement::Device);
    auto host = hl::OwnedMemory::allocate(device, 1 << 20, hl::Placement::Host);
    ASSERT_TRUE(hbm && host);
    const auto fd = device->export_dmabuf(hbm->get());
    ASSERT_TRUE(fd);
    const std::vector<unsigned char> heap(4 << 20, 1);
    std::promise<void> done;
    std::thread thread([&] { done.get_future().wait(); });
    EXPECT_EQ(Holdings::now().grown_since(before),
              (std::vector<std::string>{"descriptors", "threads", "dma-bufs", "pinned pages", "HBM", "memory"}));
    done.set_value();
    thread.join();
}

} // namespace
