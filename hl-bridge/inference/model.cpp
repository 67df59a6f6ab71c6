// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/model.h"

#include "inference/boundedfile.h"
#include "inference/labels.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <set>

namespace hl {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view builtin_prefix = "builtin:";

std::vector<fs::path> data_dirs()
{
    std::vector<fs::path> out;
    if (const char *dir = std::getenv("HL_DATA_DIR"); dir && *dir)
        out.emplace_back(fs::path(dir) / "models");
    out.emplace_back(fs::path(HL_DATA_DIR_INSTALLED) / "models");
    return out;
}

// "demo, null" : what builtin: names could be given.
std::string builtin_names(const std::vector<fs::path> &dirs)
{
    std::set<std::string> names;
    for (const fs::path &dir : dirs) {
        std::error_code error;
        for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
            const fs::path file = it->path().filename();
            if (file.extension() == ".onnx" || (file.extension() == ".modelinfo" && file.stem().extension() != ".onnx"))
                names.insert(file.stem().string());
        }
    }
    std::string out;
    for (const std::string &name : names)
        out += (out.empty() ? "" : ", ") + name;
    return out;
}

bool present(const fs::path &path)
{
    std::error_code error;
    return fs::exists(path, error);
}

// The file behind "builtin:NAME": NAME.onnx, or NAME.modelinfo alone.
Result<fs::path> find_builtin(std::string_view name)
{
    const std::vector<fs::path> dirs = data_dirs();
    const bool clean = !name.empty() && name.front() != '.' && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
               c == '.';
    });
    if (clean)
        for (const fs::path &dir : dirs)
            for (const char *suffix : {".onnx", ".modelinfo"})
                if (fs::path file = dir / (std::string(name) + suffix); present(file))
                    return file;
    std::string places;
    for (const fs::path &dir : dirs)
        places += (places.empty() ? "" : " and ") + dir.string();
    const std::string names = builtin_names(dirs);
    return fail(ErrorCode::ModelMissing, "load model",
                std::format("there is no built-in model '{}' in {}", name, places),
                names.empty() ? "install gst-habana's data, or set HL_DATA_DIR to the directory that holds models/"
                              : std::format("use one of: {}", names));
}

// The description beside a model, as GStreamer 1.28 looks for it: MODEL.onnx.modelinfo, then MODEL.modelinfo.
fs::path info_beside(const fs::path &model)
{
    fs::path full = model;
    full += ".modelinfo";
    if (present(full))
        return full;
    fs::path stem = model;
    stem.replace_extension(".modelinfo");
    return present(stem) ? stem : full;
}

Status check_network_file(const fs::path &path)
{
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found)
        return fail(ErrorCode::ModelMissing, "load model", std::format("there is no file {}", path.string()),
                    "check the path; builtin:demo is a model that is always there", ENOENT);
    if (error)
        return fail(ErrorCode::ModelMissing, "load model",
                    std::format("cannot open {}: {}", path.string(), errno_text(error.value())),
                    "check the path and its permissions", error.value());
    if (status.type() != fs::file_type::regular)
        return fail(ErrorCode::ModelMissing, "load model",
                    std::format("{} is {}, not a file", path.string(),
                                status.type() == fs::file_type::directory ? "a directory" : "a special file"),
                    "give the path of an .onnx file");
    return {};
}

} // namespace

Result<Model> Model::load(std::string_view reference, std::string_view info_path)
{
    if (reference.empty())
        return fail(ErrorCode::ModelMissing, "load model", "no model is given",
                    "give the path of an .onnx file, or builtin:demo");
    fs::path file(reference);
    Model model;
    model.name = file.filename().string();
    if (reference.starts_with(builtin_prefix)) {
        auto found = find_builtin(reference.substr(builtin_prefix.size()));
        if (!found)
            return std::unexpected(found.error());
        file = std::move(*found);
        model.name = reference;
    }
    // A description may stand alone: engine=null has no network.
    const bool alone = file.extension() == ".modelinfo";
    if (!alone) {
        if (auto status = check_network_file(file); !status)
            return std::unexpected(status.error());
        model.path = file.string();
    }
    model.info_path = !info_path.empty() ? std::string(info_path) : alone ? file.string() : info_beside(file).string();
    if (!info_path.empty() || alone || present(model.info_path)) {
        auto info = ModelInfo::load(model.info_path);
        if (!info)
            return std::unexpected(info.error());
        model.info = std::move(*info);
    }
    if (alone && model.info->engine != "null")
        return fail(ErrorCode::ModelMissing, "load model",
                    std::format("{} describes a model but is none", model.info_path),
                    "give the .onnx file it describes");
    if (model.info && !model.info->labels.empty()) {
        auto labels = read_labels(model.info->labels);
        if (!labels)
            return std::unexpected(labels.error());
        model.labels = std::move(*labels);
    }
    return model;
}

} // namespace hl
