// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlcopiesledger.h"

#include "gsthlallocator.h"
#include "gsthlcounted.h"

#include <gst/allocators/gstfdmemory.h>
#include <gst/video/video.h>

#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <iterator>
#include <string_view>

namespace {

using ElementRef = std::shared_ptr<HlElementRecord>;
using PadRef = std::shared_ptr<HlPadRecord>;

// Log lines of the category GST_PERFORMANCE that tell of a CPU copy, by their beginnings: gst_memory_copy() and
// buffer merges (core), gst_video_frame_copy_plane() (one line a plane), v4l2's and kmssink's copies.
constexpr std::array<std::string_view, hl_copy_clues> clue_texts{
    "memcpy ", "copy plane 0,", "slow copy", "frame copy", "copy video frame", "copy raw bytes", "copying buffer"};
constexpr size_t clue_memcpy = 0; // followed by a count of bytes
constexpr size_t clue_plane = 1;

// Where on the stack of chain functions this thread is.
struct ThreadPlace {
    struct Call {
        ElementRef element;
        GstPad *pad;
    };
    std::vector<Call> calls;
    ElementRef own;                            // whose task this thread runs, as far as known
    guint32 stream_start = GST_SEQNUM_INVALID; // of the last one sent

    [[nodiscard]] HlElementRecord *current() const noexcept
    {
        return calls.empty() ? own.get() : calls.back().element.get();
    }
};

ThreadPlace &thread_place()
{
    thread_local ThreadPlace place;
    return place;
}

GstMemory *root_of(GstMemory *memory) noexcept
{
    while (memory->parent)
        memory = memory->parent;
    return memory;
}

// The inode behind a descriptor names a dma-buf (each has its own), a memfd or a socket; the inode that all anonymous
// files share names nothing. 0 where there is no name.
HlFrameIdentity identity_by_inode(GstMemory *memory)
{
    constexpr auto anon_inode_fs = 0x09041934; // ANON_INODE_FS_MAGIC, linux/magic.h
    if (!gst_is_fd_memory(memory))
        return 0;
    const int fd = gst_fd_memory_get_fd(memory);
    struct stat file{};
    struct statfs system{};
    if (::fstat(fd, &file) != 0 || ::fstatfs(fd, &system) != 0 || system.f_type == anon_inode_fs)
        return 0;
    // Even, so that it never equals a number given below.
    return (uint64_t{file.st_ino} ^ std::rotl(uint64_t{file.st_dev}, 40)) << 1;
}

// The identity is kept with the memory, so that it is worked out once per memory, also where memories are recycled. It
// is kept as the pointer itself: no thread can find it freed.
HlFrameIdentity identity_of(GstMemory *memory)
{
    static const GQuark quark = g_quark_from_static_string("hlcopies-identity");
    static std::mutex first_sight;
    static uint64_t given = 0;

    GstMiniObject *const object = GST_MINI_OBJECT_CAST(root_of(memory));
    if (auto *known = gst_mini_object_get_qdata(object, quark))
        return reinterpret_cast<uintptr_t>(known);
    const std::lock_guard lock(first_sight);
    if (auto *known = gst_mini_object_get_qdata(object, quark))
        return reinterpret_cast<uintptr_t>(known);
    HlFrameIdentity identity = identity_by_inode(root_of(memory));
    if (identity == 0)
        identity = (++given << 1) | 1;
    gst_mini_object_set_qdata(object, quark, reinterpret_cast<gpointer>(identity), nullptr);
    return identity;
}

HlFrameMemory placement_of(GstMemory *memory)
{
    if (!gst_is_hl_memory(memory))
        return HlFrameMemory::System;
    return gst_hl_allocator_placement(GST_HL_ALLOCATOR(memory->allocator)) == hl::Placement::Device
               ? HlFrameMemory::Device
               : HlFrameMemory::Host;
}

const char *memory_name(HlFrameMemory memory) noexcept
{
    switch (memory) {
    case HlFrameMemory::Device:
        return "device";
    case HlFrameMemory::Host:
        return "host";
    case HlFrameMemory::System:
        return "system";
    case HlFrameMemory::Mixed:
        return "mixed";
    case HlFrameMemory::None:
        break;
    }
    return "none";
}

// A record kept as qdata: the object holds one reference.
template <class T>
void keep(gpointer object, GQuark quark, const std::shared_ptr<T> &record)
{
    g_object_set_qdata_full(G_OBJECT(object), quark, new std::shared_ptr<T>(record),
                            [](gpointer p) { delete static_cast<std::shared_ptr<T> *>(p); });
}
template <class T>
std::shared_ptr<T> kept(gpointer object, GQuark quark)
{
    auto *record = static_cast<std::shared_ptr<T> *>(g_object_get_qdata(G_OBJECT(object), quark));
    return record ? *record : nullptr;
}

GQuark pad_quark()
{
    static const GQuark quark = g_quark_from_static_string("hlcopies-pad");
    return quark;
}
GQuark element_quark()
{
    static const GQuark quark = g_quark_from_static_string("hlcopies-element");
    return quark;
}

// A repeat has the mark of videorate (GAP; of 1.28 not the last one, at EOS), or holds the buffer whose memory it
// shows: no pool can have handed that out again.
bool is_repeat(GstBuffer *buffer)
{
    if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP))
        return true;
    const GstParentBufferMeta *parent = gst_buffer_get_parent_buffer_meta(buffer);
    return parent && gst_buffer_n_memory(parent->buffer) > 0 &&
           gst_buffer_peek_memory(parent->buffer, 0) == gst_buffer_peek_memory(buffer, 0);
}

} // namespace

HlFrameSight hl_look_at_frame(GstBuffer *buffer)
{
    if (gst_buffer_n_memory(buffer) == 0)
        return {};
    GstMemory *memory = gst_buffer_peek_memory(buffer, 0);
    return {identity_of(memory), placement_of(memory), gst_buffer_get_size(buffer), is_repeat(buffer)};
}

HlElementRecord::HlElementRecord(GstElement *element)
    : ours_(GST_IS_HL_COUNTED(element)), source_(GST_OBJECT_FLAG_IS_SET(element, GST_ELEMENT_FLAG_SOURCE) != FALSE)
{
    g_weak_ref_init(&element_, element);
    name_ = GST_OBJECT_NAME(element);
    if (GstElementFactory *factory = gst_element_get_factory(element))
        factory_ = GST_OBJECT_NAME(factory);
    find_root(element);
}

HlElementRecord::~HlElementRecord()
{
    g_weak_ref_clear(&element_);
}

std::pair<gpointer, std::string> HlElementRecord::root()
{
    const std::lock_guard lock(mutex_);
    return {root_, root_name_};
}

void HlElementRecord::find_root(GstElement *element)
{
    GstObject *top = GST_OBJECT_CAST(element);
    while (GstObject *parent = GST_OBJECT_PARENT(top))
        top = parent;
    const std::lock_guard lock(mutex_);
    root_ = top;
    root_name_ = GST_OBJECT_NAME(top);
}

bool HlElementRecord::gone()
{
    return !GstPtr<GstElement>::adopt(static_cast<GstElement *>(g_weak_ref_get(&element_)));
}

HlPadRecord *HlElementRecord::add_pad(const GstPad *pad)
{
    const bool source = GST_PAD_DIRECTION(pad) == GST_PAD_SRC;
    const std::lock_guard lock(mutex_);
    const auto index = std::ranges::count_if(pads_, [&](const auto &other) { return other->source == source; });
    pads_.push_back(std::make_unique<HlPadRecord>());
    HlPadRecord *const out = pads_.back().get();
    out->element = this;
    out->name = GST_OBJECT_NAME(pad);
    out->source = source;
    out->index = static_cast<unsigned>(index);
    return out;
}

void HlElementRecord::set_video(HlPadRecord &pad, const GstCaps *caps)
{
    const GstStructure *video = caps && gst_caps_get_size(caps) > 0 ? gst_caps_get_structure(caps, 0) : nullptr;
    const std::lock_guard lock(mutex_);
    pad.video = video && gst_structure_has_name(video, "video/x-raw");
    if (!pad.video)
        return;
    const gchar *format = gst_structure_get_string(video, "format");
    if (format && std::strcmp(format, "DMA_DRM") == 0)
        format = gst_structure_get_string(video, "drm-format");
    pad.format = format ? format : "?";
    gst_structure_get_int(video, "width", &pad.width);
    gst_structure_get_int(video, "height", &pad.height);
}

uint64_t HlElementRecord::frame_bytes()
{
    const std::lock_guard lock(mutex_);
    return frame_bytes_;
}

uint64_t HlElementRecord::order()
{
    const std::lock_guard lock(mutex_);
    return order_;
}

// With the mutex held.
void HlElementRecord::take(HlPadRecord &pad, const HlFrameSight &frame)
{
    static std::atomic<uint64_t> last_order{0};
    if (order_ == 0)
        order_ = ++last_order;
    frame_bytes_ = frame.bytes;
    ++pad.frames;
    pad.bytes += frame.bytes;
    if (pad.memory == HlFrameMemory::None)
        pad.memory = frame.memory;
    else if (pad.memory != frame.memory)
        pad.memory = HlFrameMemory::Mixed;
}

void HlElementRecord::arrive(HlPadRecord &pad, const HlFrameSight &frame)
{
    const std::lock_guard lock(mutex_);
    take(pad, frame);
    if (arrivals_.size() < kept_arrivals)
        arrivals_.push_back({frame.identity, 0});
    else
        arrivals_[next_arrival_] = {frame.identity, 0};
    next_arrival_ = (next_arrival_ + 1) % kept_arrivals;
}

bool HlElementRecord::made_alike(const HlPadRecord &pad) const
{
    return std::ranges::any_of(pads_, [&](const auto &in) {
        return !in->source && in->video && in->format == pad.format && in->width == pad.width &&
               in->height == pad.height;
    });
}

// A frame passed through if its memory came in and has not left by this pad since. The same memory once more is a
// repeat if it is marked as one; else its memory was filled anew here, for pools hand memories out again.
void HlElementRecord::depart(HlPadRecord &pad, const HlFrameSight &frame)
{
    const std::lock_guard lock(mutex_);
    take(pad, frame);
    const uint32_t bit = 1u << (pad.index % 32);
    bool left_before = false;
    for (size_t i = 0; i < arrivals_.size(); ++i) {
        Arrival &arrival = arrivals_[(next_arrival_ + kept_arrivals - 1 - i) % kept_arrivals];
        if (arrival.identity != frame.identity)
            continue;
        if (!(arrival.departed & bit)) {
            arrival.departed |= bit;
            ++pad.passed;
            return;
        }
        left_before = true;
    }
    if (left_before && frame.repeat) {
        ++pad.repeated;
        return;
    }
    ++pad.made;
    // Device memory is written by the device, or by staged maps, which are counted as such.
    if (frame.memory != HlFrameMemory::Device && made_alike(pad))
        ++pad.made_alike;
}

void HlElementRecord::staged_map(hl::CopyKind kind, uint64_t bytes)
{
    const std::lock_guard lock(mutex_);
    auto &total = mapped_.kind[static_cast<size_t>(kind)];
    ++total.count;
    total.bytes += bytes;
}

// A source that fills its frames from a picture it keeps (videotestsrc) is still their producer; those that hand out
// copies of a frame they have (v4l2src) say so in other words.
void HlElementRecord::copy_clue(size_t clue)
{
    if (source_ && clue == clue_plane)
        return;
    const std::lock_guard lock(mutex_);
    ++clues_[clue];
}

hl::CopyTotals HlElementRecord::counted()
{
    if (!ours_)
        return {};
    const auto element = GstPtr<GstElement>::adopt(static_cast<GstElement *>(g_weak_ref_get(&element_)));
    return element ? gst_hl_counted_totals(GST_HL_COUNTED(element.get())) : hl::CopyTotals{};
}

// What was seen of a foreign element's copies: log lines, or new memory with the same picture format. Both tell of the
// same copies, so the larger number stands. Ours are counted inside.
uint64_t HlElementRecord::seen_copies() const
{
    if (ours_)
        return 0;
    uint64_t made = 0;
    for (const auto &pad : pads_)
        made += pad->made_alike;
    return std::max(made, std::ranges::max(clues_));
}

void HlElementRecord::report(std::vector<HlCopiesHop> &hops, bool reset)
{
    hl::CopyTotals totals = counted(); // before the lock: calls into the element
    const std::lock_guard lock(mutex_);
    const auto any_frames = [](bool source) {
        return [source](const auto &pad) { return pad->source == source && pad->video && pad->frames > 0; };
    };
    const bool has_source = std::ranges::any_of(pads_, any_frames(true));
    const bool has_sink = std::ranges::any_of(pads_, any_frames(false));

    const uint64_t seen = seen_copies();
    totals.kind[static_cast<size_t>(hl::CopyKind::CpuCopy)].count += seen;
    totals.kind[static_cast<size_t>(hl::CopyKind::CpuCopy)].bytes += seen * frame_bytes_;
    for (size_t i = 0; i < hl::copy_kinds; ++i) {
        totals.kind[i].count += mapped_.kind[i].count;
        totals.kind[i].bytes += mapped_.kind[i].bytes;
    }

    bool first = true;
    for (const auto &pad : pads_) {
        if (!any_frames(has_source)(pad))
            continue;
        HlCopiesHop hop;
        hop.element = name_;
        hop.factory = factory_;
        hop.pad = pad->name;
        hop.video = pad->format + " " + std::to_string(pad->width) + "x" + std::to_string(pad->height);
        hop.memory = memory_name(pad->memory);
        hop.sink = !has_source;
        hop.source = !has_sink;
        hop.frames = pad->frames;
        hop.bytes = pad->bytes;
        hop.passed = pad->passed;
        hop.made = pad->made;
        hop.repeated = pad->repeated;
        if (first) {
            hop.seen_copies = seen;
            hop.totals = totals;
        }
        first = false;
        hops.push_back(std::move(hop));
    }
    if (reset)
        clear();
}

void HlElementRecord::clear()
{
    for (const auto &pad : pads_) {
        pad->frames = pad->bytes = pad->passed = pad->made = pad->made_alike = pad->repeated = 0;
        pad->memory = HlFrameMemory::None;
    }
    order_ = 0;
    arrivals_.clear();
    next_arrival_ = 0;
    mapped_ = {};
    clues_ = {};
}

ElementRef HlCopiesLedger::element_record(GstElement *element)
{
    if (auto known = kept<HlElementRecord>(element, element_quark()))
        return known;
    const std::lock_guard lock(mutex_);
    if (auto known = kept<HlElementRecord>(element, element_quark()))
        return known;
    auto record = std::make_shared<HlElementRecord>(element);
    keep(element, element_quark(), record);
    elements_.push_back(record);
    return record;
}

// nullptr for pads of bins (frames are seen at the real pads) and pads without an element. Names and parents are read
// without the objects' locks, as GStreamer's own tracers do: the event hooks run with the pad's lock held
// (gst_pad_push_event_unchecked()), and a pad that carries data keeps both.
PadRef HlCopiesLedger::pad_record(GstPad *pad)
{
    if (auto known = kept<HlPadRecord>(pad, pad_quark()))
        return known;
    GstObject *const parent = GST_OBJECT_PARENT(pad);
    if (!parent || !GST_IS_ELEMENT(parent) || GST_IS_BIN(parent))
        return nullptr;
    const ElementRef element = element_record(GST_ELEMENT_CAST(parent));

    const std::lock_guard lock(mutex_);
    if (auto known = kept<HlPadRecord>(pad, pad_quark()))
        return known;
    const PadRef record(element, element->add_pad(pad));
    keep(pad, pad_quark(), record);
    return record;
}

void HlCopiesLedger::caps(GstPad *pad, const GstCaps *caps)
{
    const auto record = pad_record(pad);
    if (!record)
        return;
    record->element->set_video(*record, caps);
    // Elements may be made, and even log, before they are put into their pipeline.
    record->element->find_root(GST_ELEMENT_CAST(GST_OBJECT_PARENT(pad)));
}

void HlCopiesLedger::pushed(GstPad *pad, GstBuffer *buffer)
{
    if (const auto record = pad_record(pad); record && record->video)
        record->element->depart(*record, hl_look_at_frame(buffer));
}

void HlCopiesLedger::entered(GstPad *pad, GstBuffer *buffer)
{
    const auto record = pad_record(pad);
    if (!record)
        return;
    if (buffer && record->video)
        record->element->arrive(*record, hl_look_at_frame(buffer));
    thread_place().calls.push_back({record->element->shared_from_this(), pad});
}

void HlCopiesLedger::left(GstPad *pad)
{
    auto &calls = thread_place().calls;
    if (!calls.empty() && calls.back().pad == pad)
        calls.pop_back();
}

void HlCopiesLedger::pulled(GstPad *sink_pad, GstBuffer *buffer)
{
    const auto record = pad_record(sink_pad);
    if (!record || !record->video)
        return;
    if (const auto peer = GstPtr<GstPad>::adopt(gst_pad_get_peer(sink_pad)))
        pushed(peer.get(), buffer);
    record->element->arrive(*record, hl_look_at_frame(buffer));
}

void HlCopiesLedger::thread_of(GstPad *pad)
{
    auto &place = thread_place();
    if (!place.calls.empty())
        return;
    if (const auto record = pad_record(pad); record && record->element != place.own.get())
        place.own = record->element->shared_from_this();
}

void HlCopiesLedger::stream_started(GstPad *pad, GstEvent *event)
{
    auto &place = thread_place();
    if (gst_event_get_seqnum(event) == place.stream_start)
        return;
    place.stream_start = gst_event_get_seqnum(event);
    thread_of(pad);
}

void HlCopiesLedger::staged_map(hl::CopyKind kind, uint64_t bytes)
{
    if (HlElementRecord *element = thread_place().current()) {
        element->staged_map(kind, bytes);
        return;
    }
    const std::lock_guard lock(mutex_);
    auto &total = elsewhere_.kind[static_cast<size_t>(kind)];
    ++total.count;
    total.bytes += bytes;
}

void HlCopiesLedger::copy_logged(GObject *object, const char *text)
{
    const std::string_view line(text ? text : "");
    const auto found = std::ranges::find_if(clue_texts, [&](std::string_view clue) { return line.starts_with(clue); });
    if (found == clue_texts.end())
        return;
    const auto clue = static_cast<size_t>(found - clue_texts.begin());
    ElementRef named;
    if (object && GST_IS_ELEMENT(object) && !GST_IS_BIN(object))
        named = element_record(GST_ELEMENT_CAST(object));
    HlElementRecord *element = named ? named.get() : thread_place().current();
    if (!element)
        return;
    // Small copies (codec headers, metadata) are no frames. The element's last frame tells how large one is.
    if (clue == clue_memcpy) {
        const uint64_t bytes = g_ascii_strtoull(line.data() + clue_texts[clue].size(), nullptr, 10);
        const uint64_t frame = element->frame_bytes();
        if (frame == 0 || bytes < frame / 2)
            return;
    }
    element->copy_clue(clue);
}

HlCopiesReport HlCopiesLedger::report_locked(const std::pair<gpointer, std::string> &root, bool reset)
{
    HlCopiesReport out;
    out.pipeline = root.second;
    const auto under_root = [&](const ElementRef &element) { return element->root().first == root.first; };
    std::vector<ElementRef> mine;
    std::ranges::copy_if(elements_, std::back_inserter(mine), under_root);
    std::ranges::stable_sort(mine, {}, [](const ElementRef &element) { return element->order(); });
    for (const ElementRef &element : mine)
        element->report(out.hops, reset);
    const bool any_elsewhere = std::ranges::any_of(elsewhere_.kind, [](const auto &t) { return t.count != 0; });
    if (any_elsewhere && !out.hops.empty()) {
        HlCopiesHop hop;
        hop.element = "(application)";
        hop.pad = "-";
        hop.memory = "device";
        hop.sink = true;
        hop.totals = elsewhere_;
        out.hops.push_back(std::move(hop));
        if (reset)
            elsewhere_ = {};
    }
    if (reset)
        std::erase_if(elements_, [&](const ElementRef &element) { return under_root(element) && element->gone(); });
    return out;
}

HlCopiesReport HlCopiesLedger::report(GstObject *root, bool reset)
{
    const std::lock_guard lock(mutex_);
    return report_locked({root, GST_OBJECT_NAME(root)}, reset);
}

std::vector<HlCopiesReport> HlCopiesLedger::remaining()
{
    const std::lock_guard lock(mutex_);
    std::vector<HlCopiesReport> out;
    const auto elements = elements_;
    for (const ElementRef &element : elements)
        if (auto report = report_locked(element->root(), true); !report.hops.empty())
            out.push_back(std::move(report));
    return out;
}
