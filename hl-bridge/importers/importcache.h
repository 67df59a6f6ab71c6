// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/verdict.h"

#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace hl {

// What importers did with frames, remembered for the life of the process. What may be different a moment later (busy, a
// frame that could not be made) is not kept. Thread safe.
class ImportCache {
public:
    [[nodiscard]] static ImportCache &process();

    [[nodiscard]] std::optional<ImportAttempt> find(const std::string &key) const;
    void store(const std::string &key, const ImportAttempt &attempt);

private:
    mutable std::mutex mutex_;
    std::map<std::string, ImportAttempt> attempts_;
};

} // namespace hl
