// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/modelcheck.h"
#include "core/uniquefd.h"
#include "fuzztargets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string_view>

namespace hl::test {

// Whatever an .onnx file holds: the names of files beside it come out, or one error of a few lines.
void fuzz_modelfile(std::span<const std::byte> file)
{
    const UniqueFd fd(::memfd_create("model", MFD_CLOEXEC));
    require(fd.valid() && ::write(fd.get(), file.data(), file.size()) == static_cast<ssize_t>(file.size()));
    const auto found = find_external_data(fd.get(), file.size(), "given/model");
    if (!found) {
        require(found.error().code == ErrorCode::ModelCorrupt);
        return require_readable(found.error());
    }
    // The names are the file's own, and a name has room in it once.
    size_t names = 0;
    const std::string_view text = text_of(file);
    for (const auto &[location, bytes] : *found) {
        require(text.contains(location) && bytes <= INT64_MAX);
        names += location.size();
    }
    require(names <= file.size());
}

} // namespace hl::test
