// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importcache.h"

namespace hl {

ImportCache &ImportCache::process()
{
    static ImportCache cache;
    return cache;
}

std::optional<ImportAttempt> ImportCache::find(const std::string &key) const
{
    const std::lock_guard lock(mutex_);
    const auto at = attempts_.find(key);
    return at == attempts_.end() ? std::nullopt : std::optional(at->second);
}

void ImportCache::store(const std::string &key, const ImportAttempt &attempt)
{
    if (!attempt.lasting())
        return;
    const std::lock_guard lock(mutex_);
    attempts_.insert_or_assign(key, attempt);
}

} // namespace hl
