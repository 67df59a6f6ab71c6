// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/modelcheck.h"
#include "core/uniquefd.h"
#include "fuzztargets.h"

#include <sys/mman.h>
#include <unistd.h>

namespace hl::test {

// Whatever an .onnx file holds: the names of files beside it come out, or one error of a few lines.
void fuzz_modelfile(std::span<const std::byte> file)
{
    constexpr size_t longest_error = 1000;
    const UniqueFd fd(::memfd_create("model", MFD_CLOEXEC));
    require(fd.valid() && ::write(fd.get(), file.data(), file.size()) == static_cast<ssize_t>(file.size()));
    const auto found = find_external_data(fd.get(), file.size(), "given/model");
    if (!found) {
        require(found.error().code == ErrorCode::ModelCorrupt && !found.error().remedy.empty());
        require(found.error().details().size() <= longest_error);
        return;
    }
    for (const auto &[location, bytes] : *found)
        require(location.size() <= file.size());
}

} // namespace hl::test
