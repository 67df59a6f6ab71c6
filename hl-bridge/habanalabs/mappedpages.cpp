// SPDX-License-Identifier: LGPL-2.1-or-later
#include "habanalabs/mappedpages.h"

#include <utility>

namespace hl::habanalabs {

MappedPages::MappedPages(HostMemory pages, uint64_t address, std::shared_ptr<ChipSession> session) noexcept
    : pages_(std::move(pages)), address_(address), session_(std::move(session))
{}

MappedPages &MappedPages::operator=(MappedPages &&other) noexcept
{
    std::swap(pages_, other.pages_);
    std::swap(address_, other.address_);
    std::swap(session_, other.session_);
    return *this;
}

MappedPages::~MappedPages()
{
    if (session_)
        session_->unmap_host(pages_.span(), address_); // before the pages go
}

} // namespace hl::habanalabs
