// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthloffer.h"

#include "gsthlcaps.h"

#include <utility>

bool GstHlOffer::fits(const GstCaps *caps, const Terms &terms) const
{
    return allocator_ && gst_caps_is_equal(caps, caps_.get()) &&
           gst_hl_allocator_device(allocator_.get()) == terms.device &&
           gst_hl_allocator_placement(allocator_.get()) == terms.placement;
}

void GstHlOffer::renew(GstCaps *caps, const Terms &terms)
{
    const std::lock_guard lock(mutex_);
    if (fits(caps, terms))
        return;
    allocator_ = gst_hl_allocator_new(terms.device, terms.placement);
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
    renew(caps, terms);
    auto pool = gst_hl_buffer_pool_new_shared(allocator_);
    if (auto ready = gst_hl_buffer_pool_setup(pool.get(), caps, 0, terms.min, 0, false); !ready) {
        GST_WARNING_OBJECT(owner_, "no pool to offer: %s", ready.error().details().c_str());
        return false;
    }
    gst_hl_buffer_pool_set_error_handler(GST_HL_BUFFER_POOL(pool.get()), owner_, handler_);
    gst_query_add_allocation_param(query, GST_ALLOCATOR(allocator_.get()), nullptr);
    gst_query_add_allocation_pool(query, need_pool ? pool.get() : nullptr, static_cast<guint>(info.size), terms.min, 0);
    const std::lock_guard lock(mutex_);
    asked_ = true;
    pool_wanted_ = need_pool;
    return true;
}

void GstHlOffer::forget()
{
    const std::lock_guard lock(mutex_);
    asked_ = pool_wanted_ = false;
}

void GstHlOffer::reset()
{
    forget();
    const std::lock_guard lock(mutex_);
    allocator_.reset();
    caps_.reset();
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
