// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importprobe.h"

#include "importers/drmimportprobe.h"
#include "importers/v4l2importprobe.h"

namespace hl {

std::expected<std::unique_ptr<ImportProbe>, ImportAttempt> ImportProbe::open(Kernel &kernel, const Importer &importer)
{
    if (importer.drm())
        return DrmImportProbe::open(kernel, importer);
    return V4l2ImportProbe::open(kernel, importer);
}

} // namespace hl
