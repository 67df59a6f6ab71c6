// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/arena.h"

namespace hl {

Arena::Arena(uint64_t size, uint64_t unit) : size_(size & ~(unit - 1)), unit_(unit)
{
    if (size_ == 0)
        return;
    const Index all = new_block();
    blocks_[all].size = size_;
    put_free(all);
}

Arena::Index Arena::new_block()
{
    if (!spare_.empty()) {
        const Index block = spare_.back();
        spare_.pop_back();
        blocks_[block] = {};
        return block;
    }
    blocks_.emplace_back();
    return static_cast<Index>(blocks_.size() - 1);
}

void Arena::put_free(Index block)
{
    Block &b = blocks_[block];
    b.is_free = true;
    b.left = none;
    const auto [at, inserted] = free_.try_emplace(b.size, block);
    b.right = inserted ? none : at->second;
    if (!inserted) {
        blocks_[b.right].left = block;
        at->second = block;
    }
}

void Arena::take_free(Index block)
{
    Block &b = blocks_[block];
    b.is_free = false;
    if (b.right != none)
        blocks_[b.right].left = b.left;
    if (b.left != none)
        blocks_[b.left].right = b.right;
    else if (b.right != none)
        free_[b.size] = b.right;
    else
        free_.erase(b.size);
    b.left = b.right = none;
}

void Arena::merge_after(Index block)
{
    Block &b = blocks_[block];
    const Index gone = b.after;
    b.size += blocks_[gone].size;
    b.after = blocks_[gone].after;
    if (b.after != none)
        blocks_[b.after].before = block;
    spare_.push_back(gone);
}

std::optional<uint64_t> Arena::allocate(uint64_t size)
{
    if (size == 0 || size > size_)
        return std::nullopt;
    size = (size + unit_ - 1) & ~(unit_ - 1);
    const auto fit = free_.lower_bound(size);
    if (fit == free_.end())
        return std::nullopt;
    const Index block = fit->second;
    take_free(block);
    if (blocks_[block].size > size) {
        const Index rest = new_block(); // may move blocks_
        Block &b = blocks_[block];
        blocks_[rest] = {.offset = b.offset + size, .size = b.size - size, .before = block, .after = b.after};
        if (b.after != none)
            blocks_[b.after].before = rest;
        b.after = rest;
        b.size = size;
        put_free(rest);
    }
    used_ += size;
    allocated_.emplace(blocks_[block].offset, block);
    return blocks_[block].offset;
}

bool Arena::free(uint64_t offset)
{
    const auto at = allocated_.find(offset);
    if (at == allocated_.end())
        return false;
    Index block = at->second;
    allocated_.erase(at);
    used_ -= blocks_[block].size;
    if (const Index after = blocks_[block].after; after != none && blocks_[after].is_free) {
        take_free(after);
        merge_after(block);
    }
    if (const Index before = blocks_[block].before; before != none && blocks_[before].is_free) {
        take_free(before);
        merge_after(before);
        block = before;
    }
    put_free(block);
    return true;
}

uint64_t Arena::size_at(uint64_t offset) const
{
    const auto at = allocated_.find(offset);
    return at == allocated_.end() ? 0 : blocks_[at->second].size;
}

} // namespace hl
