// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/journal.h"

#include <cstdio>

namespace gaudiemu::chip {

void Journal::note(const std::string &text)
{
    write("", text);
}

void Journal::fault(const std::string &text)
{
    {
        const std::lock_guard lock(mutex_);
        ++fault_count_;
        if (faults_.size() < kept)
            faults_.push_back(text);
    }
    write("FAULT: ", text);
}

std::vector<std::string> Journal::faults() const
{
    const std::lock_guard lock(mutex_);
    return faults_;
}

uint64_t Journal::fault_count() const
{
    const std::lock_guard lock(mutex_);
    return fault_count_;
}

void Journal::write(const char *kind, const std::string &text) const
{
    if (!quiet_)
        std::fprintf(stderr, "%s: %s%s\n", model_.c_str(), kind, text.c_str());
}

} // namespace gaudiemu::chip
