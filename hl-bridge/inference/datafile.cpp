// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/datafile.h"

#include "core/text.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <format>

namespace hl {
namespace {

namespace fs = std::filesystem;

constexpr const char *operation = "load model";
constexpr size_t shown_name = 200; // of a file, in a message

} // namespace

Result<std::string> find_data_file(const std::string &owner, const std::string &location)
{
    const auto outside = [&](const std::string &why) {
        return fail(ErrorCode::ModelDataOutside, operation,
                    std::format("{} wants data from \"{}\", {}", owner, shown(location, shown_name), why),
                    "put the model and its data into one folder (cp -L follows links), and export with data beside the "
                    "model");
    };
    const auto missing = [&](const std::string &why, int err) {
        return fail(ErrorCode::ModelMissing, operation,
                    std::format("the data \"{}\" of {} {}", shown(location, shown_name), owner, why),
                    "copy the data file that belongs to the model beside it", err);
    };
    const fs::path name(location);
    if (location.empty() || location.contains('\0'))
        return outside("which is no file name");
    if (name.is_absolute())
        return outside("an absolute path");
    if (std::ranges::contains(name, fs::path("..")))
        return outside("which leaves its folder");
    std::error_code error;
    const fs::path beside = fs::path(owner).parent_path();
    const fs::path folder = fs::canonical(beside.empty() ? fs::path(".") : beside, error);
    if (error)
        return fail(ErrorCode::ModelMissing, operation,
                    std::format("the folder of {} cannot be opened: {}", owner, errno_text(error.value())),
                    "check the path and its permissions", error.value());
    const fs::path file = fs::canonical(folder / name, error);
    if (error)
        return missing(std::format("cannot be opened: {}", errno_text(error.value())), error.value());
    if (std::ranges::mismatch(folder, file).in1 != folder.end())
        return outside(std::format("a link to {}, outside of its folder", shown(file.string(), shown_name)));
    struct stat st{};
    if (::stat(file.c_str(), &st) != 0 || !S_ISREG(st.st_mode))
        return missing("is not a file", 0);
    return file.string();
}

} // namespace hl
