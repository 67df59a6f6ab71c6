// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthloffer.h"

#include "device/hostmemory.h"
#include "gsthlcaps.h"
#include "gsthlplacement.h"
#include "importers/importchoice.h"
#include "importers/importprobe.h"

#include <algorithm>
#include <format>
#include <utility>

namespace {

// What the kernel says to frames of this placement. A V4L2 decoder has formats of its own for each who opens it, so that
// nothing can be learned beside it.
hl::ImportChoice choice_for(const GstHlUpstream &importer, const std::shared_ptr<hl::Device> &device,
                            hl::Placement placement, gsize frame_bytes)
{
    if (placement == hl::Placement::Host) {
        if (auto udmabuf = hl::open_udmabuf(); !udmabuf) {
            udmabuf.error().device = device->info().name;
            udmabuf.error().remedy +=
                std::format("; or \"{} io-mode=mmap\", which costs a CPU copy of each frame", importer.producer);
            return {.refusal = std::move(udmabuf.error())};
        }
    }
    const auto found = hl::identify_importer(hl::Kernel::running(), importer.node);
    if (!found)
        return {};
    const auto camera = std::ranges::find(*found, hl::ImporterKind::Capture, &hl::Importer::kind);
    if (camera == found->end())
        return {};
    return hl::choose_import(hl::ImportJudge(device), *camera, placement, gst_hl_allocation_bytes(frame_bytes));
}

// Whether the driver of a camera writes frames of so many dma-bufs. Known once its format is set, which v4l2src does
// after it asked for a pool and before it starts the pool (gstv4l2src.c gst_v4l2src_decide_allocation).
hl::Status check_planes(const std::string &node, size_t dmabufs)
{
    hl::Kernel &kernel = hl::Kernel::running();
    const auto queues = hl::identify_importer(kernel, node);
    if (!queues || queues->front().kind != hl::ImporterKind::Capture)
        return {};
    const auto probe = hl::ImportProbe::open(kernel, queues->front());
    if (!probe || (*probe)->format().plane_bytes.size() == dmabufs)
        return {};
    const hl::ImportFormat &format = (*probe)->format();
    return hl::fail(hl::ErrorCode::ImportFormat, "start pool",
                    std::format("the driver of {} writes a frame ({}) to {} dma-bufs, and the frames it is offered "
                                "have {}",
                                node, format.text, format.plane_bytes.size(), dmabufs),
                    dmabufs == 1 ? "set planes=multi" : "set planes=single", 0, node);
}

} // namespace

bool GstHlOffer::fits(const GstCaps *caps, const Terms &terms, hl::HostPages pages) const
{
    return allocator_ && gst_caps_is_equal(caps, caps_.get()) &&
           gst_hl_allocator_device(allocator_.get()) == terms.device &&
           gst_hl_allocator_placement(allocator_.get()) == terms.placement &&
           gst_hl_allocator_host_pages(allocator_.get()) == pages;
}

void GstHlOffer::renew(GstCaps *caps, const Terms &terms, hl::HostPages pages)
{
    const std::lock_guard lock(mutex_);
    if (fits(caps, terms, pages))
        return;
    allocator_ = gst_hl_allocator_new(terms.device, terms.placement, pages);
    gst_hl_allocator_set_strict(allocator_.get(), terms.strict);
    gst_hl_allocator_set_owner(allocator_.get(), owner_);
    caps_ = GstPtr<GstCaps>::share(caps);
}

bool GstHlOffer::propose(GstQuery *query, const Terms &terms)
{
    GstCaps *caps = nullptr;
    gboolean need_pool = FALSE;
    gst_query_parse_allocation(query, &caps, &need_pool);
    GstVideoInfo info;
    if (!caps || !gst_hl_video_info_from_caps(caps, &info))
        return false;
    const size_t dmabufs = terms.planes == GST_HL_PLANES_MULTI ? GST_VIDEO_INFO_N_PLANES(&info) : 1;
    // The first plane is the largest.
    const auto pages = meet_importer(terms, dmabufs > 1 ? GST_VIDEO_INFO_PLANE_OFFSET(&info, 1) : info.size, need_pool);
    if (!pages)
        return false;
    renew(caps, terms, *pages);
    auto pool = gst_hl_buffer_pool_new_shared(allocator_, terms.planes);
    if (auto ready = gst_hl_buffer_pool_setup(pool.get(), caps, 0, terms.min, 0, false); !ready) {
        GST_WARNING_OBJECT(owner_, "no pool to offer: %s", ready.error().details().c_str());
        return false;
    }
    gst_hl_buffer_pool_set_error_handler(GST_HL_BUFFER_POOL(pool.get()), owner_, handler_);
    if (!camera_.empty())
        gst_hl_buffer_pool_set_start_check(GST_HL_BUFFER_POOL(pool.get()),
                                           [node = camera_, dmabufs] { return check_planes(node, dmabufs); });
    gst_query_add_allocation_param(query, GST_ALLOCATOR(allocator_.get()), nullptr);
    gst_query_add_allocation_pool(query, need_pool ? pool.get() : nullptr, static_cast<guint>(info.size), terms.min, 0);
    {
        const std::lock_guard lock(mutex_);
        asked_ = true;
        pool_wanted_ = need_pool;
        if (need_pool)
            pool_ = pool;
    }
    return true;
}

GstHlUpstream GstHlOffer::upstream() const
{
    const auto sink = GstPtr<GstPad>::adopt(gst_element_get_static_pad(owner_, "sink"));
    return gst_hl_look_upstream(sink.get());
}

std::string GstHlOffer::name() const
{
    const GstElementFactory *factory = gst_element_get_factory(owner_);
    return factory ? GST_OBJECT_NAME(factory) : GST_OBJECT_NAME(owner_);
}

std::string GstHlOffer::swallowed(const GstHlUpstream &upstream) const
{
    return std::format("{} forwards the question for a pool, but not the pool of the answer",
                       upstream.swallower.empty() ? upstream.neighbour : upstream.swallower);
}

std::string GstHlOffer::better_line(const GstHlUpstream &upstream) const
{
    return std::format("put {0} before it: \"{1} ! {0} ! tee ! ...\"", name(), upstream.line());
}

GstHlOffer::Refusal GstHlOffer::explain() const
{
    const GstHlUpstream up = upstream();
    if (asked() && wanted())
        return {.reason = "pool-replaced",
                .why = std::format("{} was offered a pool that the device reads, but sends memory of its own",
                                   up.neighbour),
                .remedy = "let the producer use the offered pool (v4l2src: io-mode=dmabuf-import; libav decoders from "
                          "the second GOP on)"};
    // A tee of several branches does not ask further once one of them has no answer (gsttee.c
    // gst_tee_query_allocation).
    if (asked() || !up.swallower.empty())
        return {.reason = "pool-swallowed", .why = swallowed(up), .remedy = better_line(up)};
    return {.reason = "no-pool",
            .why = "nobody upstream asked for a pool",
            .remedy = std::format("put {0} directly behind a producer that asks for one, as in \"videotestsrc ! {0}\"",
                                  name())};
}

void GstHlOffer::warn_swallowed(const GstHlUpstream &importer)
{
    gst_hl_post_placement(owner_,
                          {.placement = "none",
                           .reason = "pool-swallowed",
                           .cost = std::format("{} fills frames of a pool only, and {}", importer.producer,
                                               swallowed(importer)),
                           .suggestion = better_line(importer),
                           .copies = true});
}

std::optional<hl::HostPages> GstHlOffer::meet_importer(const Terms &terms, gsize memory_bytes, bool pool_wanted)
{
    if (std::exchange(met_, true))
        return suits_;
    suits_ = hl::HostPages::Base;
    camera_.clear();
    const GstHlUpstream up = upstream();
    if (!up.imports)
        return suits_;
    if (!pool_wanted) {
        warn_swallowed(up);
        return suits_;
    }
    camera_ = up.node;
    hl::ImportChoice choice = choice_for(up, terms.device, terms.placement, memory_bytes);
    GST_INFO_OBJECT(owner_, "for %s: %s pages%s", camera_.c_str(),
                    choice.pages == hl::HostPages::Huge ? "huge" : "base", choice.refusal ? ", which it refuses" : "");
    suits_ = choice.pages;
    if (choice.refusal) {
        choice.refusal->cause = std::format("{} imports dma-bufs only, and {}", up.producer, choice.refusal->cause);
        suits_.reset();
        handler_(owner_, *choice.refusal);
    }
    return suits_;
}

void GstHlOffer::forget()
{
    const std::lock_guard lock(mutex_);
    asked_ = pool_wanted_ = false;
    met_ = false;
}

void GstHlOffer::reset()
{
    forget();
    GstPtr<GstBufferPool> pool;
    GstPtr<GstHlAllocator> allocator;
    {
        const std::lock_guard lock(mutex_);
        caps_.reset();
        pool = std::exchange(pool_, {});
        allocator = std::exchange(allocator_, {});
    }
    // v4l2src 1.26 neither stops the pool nor gives back the frames it took if its driver refuses to queue or to start
    // (gstv4l2bufferpool.c gst_v4l2_buffer_pool_start).
    if (pool)
        gst_hl_buffer_pool_retire(pool.get());
    if (allocator)
        gst_hl_allocator_drop_recycled(allocator.get());
}

bool GstHlOffer::asked() const
{
    const std::lock_guard lock(mutex_);
    return asked_;
}

bool GstHlOffer::wanted() const
{
    const std::lock_guard lock(mutex_);
    return pool_wanted_;
}

bool GstHlOffer::made(GstBuffer *buffer) const
{
    const GstMemory *memory = gst_buffer_n_memory(buffer) > 0 ? gst_buffer_peek_memory(buffer, 0) : nullptr;
    const std::lock_guard lock(mutex_);
    return memory && allocator_ && memory->allocator == GST_ALLOCATOR_CAST(allocator_.get());
}

hl::CopyTotals GstHlOffer::totals() const
{
    const std::lock_guard lock(mutex_);
    return allocator_ ? gst_hl_allocator_totals(allocator_.get()) : hl::CopyTotals{};
}
