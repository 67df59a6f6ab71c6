// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/modelinfo.h"

#include "core/log.h"
#include "core/text.h"
#include "inference/boundedfile.h"

#include <glib.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <format>
#include <memory>
#include <span>

namespace hl {
namespace {

// Bounds on what a file may ask for; real ones have a few hundred bytes.
constexpr size_t max_file_bytes = 256 * 1024;
constexpr size_t max_sections = 512;
constexpr size_t max_list = 4096;
constexpr int64_t max_dim = int64_t{1} << 40;

constexpr const char *main_section = "modelinfo";
constexpr const char *own_section = "gst-habana";
constexpr std::string_view file_binding = "file:";

struct KeyFileFree {
    void operator()(GKeyFile *file) const noexcept { g_key_file_free(file); }
};
struct GErrorFree {
    void operator()(GError *error) const noexcept { g_error_free(error); }
};
struct GFree {
    void operator()(char *text) const noexcept { g_free(text); }
};
struct StrvFree {
    void operator()(char **list) const noexcept { g_strfreev(list); }
};

std::vector<std::string_view> split(std::string_view text, char separator)
{
    std::vector<std::string_view> out;
    while (out.size() <= max_list) {
        const size_t at = text.find(separator);
        out.push_back(trimmed(text.substr(0, at)));
        if (at == std::string_view::npos)
            break;
        text.remove_prefix(at + 1);
    }
    // Key files end a list with its separator at will.
    if (out.size() > 1 && out.back().empty())
        out.pop_back();
    return out;
}

template <class T>
std::optional<T> number(std::string_view text) noexcept
{
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    if constexpr (std::is_floating_point_v<T>)
        if (!std::isfinite(value))
            return std::nullopt;
    return value;
}

std::string in_quotes(std::string_view text)
{
    return std::format("'{}'", shown(text));
}

// Reads one file; every error names file, section and key.
class Parser {
public:
    Parser(const std::string &path, GKeyFile *file) : path_(path), file_(file) {}

    Result<ModelInfo> parse();

private:
    std::unexpected<Error> bad(std::string_view section, std::string_view key, std::string_view why,
                               std::string remedy) const
    {
        std::string at = std::format("{}: section [{}]", path_, shown(section));
        if (!key.empty())
            at += std::format(", key {}", key);
        return fail(ErrorCode::ModelInfoInvalid, "read model description", std::format("{}: {}", at, why),
                    std::move(remedy));
    }

    // The trimmed value, nullopt where the key is missing. Values are checked as UTF-8 before.
    std::optional<std::string> value(const char *section, const char *key) const
    {
        const std::unique_ptr<char, GFree> text(g_key_file_get_string(file_, section, key, nullptr));
        if (!text)
            return std::nullopt;
        return std::string(trimmed(text.get()));
    }

    // One of a few words; nullopt where the key is missing.
    Result<std::optional<size_t>> word(const char *section, const char *key,
                                       std::span<const std::string_view> words) const;
    Result<std::optional<std::array<float, 3>>> triple(const char *key, bool may_be_zero) const;
    Status version(ModelInfo &info) const;
    Result<TensorInfo> tensor(const char *section) const;
    Status dims(const char *section, TensorInfo &tensor) const;
    Status ranges(const char *section, TensorInfo &tensor) const;
    Status own(ModelInfo &info) const;
    Status normalisation(ModelInfo &info) const;

    const std::string &path_;
    GKeyFile *file_;
};

Result<std::optional<size_t>> Parser::word(const char *section, const char *key,
                                           std::span<const std::string_view> words) const
{
    const auto text = value(section, key);
    if (!text)
        return std::nullopt;
    const auto at = std::ranges::find(words, *text);
    if (at != words.end())
        return static_cast<size_t>(at - words.begin());
    std::string list;
    for (const std::string_view w : words)
        list += (list.empty() ? "" : ", ") + std::string(w);
    return bad(section, key, std::format("{} is not known", in_quotes(*text)), std::format("write one of: {}", list));
}

Status Parser::version(ModelInfo &info) const
{
    const std::string remedy = "write version=1.0 in a section [modelinfo]";
    if (!g_key_file_has_group(file_, main_section))
        return bad(main_section, "", "the section is missing", remedy);
    const auto text = value(main_section, "version");
    if (!text)
        return bad(main_section, "version", "the key is missing", remedy);
    const auto parts = split(*text, '.');
    const auto major = parts.size() == 2 ? number<unsigned>(parts[0]) : std::nullopt;
    const auto minor = parts.size() == 2 ? number<unsigned>(parts[1]) : std::nullopt;
    if (!major || !minor)
        return bad(main_section, "version", std::format("{} is not of the form MAJOR.MINOR", in_quotes(*text)), remedy);
    if (*major != 1)
        return bad(main_section, "version", std::format("version {} is not understood, only 1.x is", shown(*text)),
                   remedy);
    if (*minor > 0)
        log(LogLevel::Info, "modelinfo", std::format("{}: version {} is newer than 1.0", path_, shown(*text)));
    info.version = *text;
    info.group_id = value(main_section, "group-id").value_or("");
    return {};
}

Status Parser::dims(const char *section, TensorInfo &tensor) const
{
    const auto text = value(section, "dims");
    if (!text)
        return {};
    const std::string remedy = "write the dimensions as in dims=1,3,320,320; -1 for one that is not known";
    const auto parts = split(*text, ',');
    if (parts.size() > TensorShape::max_rank)
        return bad(section, "dims", std::format("more than {} dimensions", TensorShape::max_rank), remedy);
    std::vector<int64_t> values;
    for (const std::string_view part : parts) {
        const auto n = number<int64_t>(part);
        if (!n || *n == 0 || *n < -1 || *n > max_dim)
            return bad(section, "dims", std::format("{} is not a dimension", in_quotes(part)), remedy);
        values.push_back(*n);
    }
    tensor.shape = TensorShape(std::span<const int64_t>(values));
    return {};
}

Status Parser::ranges(const char *section, TensorInfo &tensor) const
{
    const auto text = value(section, "ranges");
    if (!text)
        return {};
    const std::string remedy = "write ranges=MIN,MAX for all channels or MIN,MAX;MIN,MAX;MIN,MAX for each, for "
                               "instance ranges=0.0,1.0";
    for (const std::string_view pair : split(*text, ';')) {
        const auto parts = split(pair, ',');
        const auto low = parts.size() == 2 ? number<double>(parts[0]) : std::nullopt;
        const auto high = parts.size() == 2 ? number<double>(parts[1]) : std::nullopt;
        if (!low || !high)
            return bad(section, "ranges", std::format("{} is not a pair of numbers", in_quotes(pair)), remedy);
        if (!(*low < *high))
            return bad(section, "ranges", std::format("in {} the first is not below the second", in_quotes(pair)),
                       remedy);
        tensor.ranges.emplace_back(*low, *high);
    }
    return {};
}

Result<TensorInfo> Parser::tensor(const char *section) const
{
    TensorInfo out;
    out.name = section;
    constexpr std::array<std::string_view, 2> directions{"input", "output"};
    const auto dir = word(section, "dir", directions);
    if (!dir)
        return std::unexpected(dir.error());
    if (!*dir)
        return bad(section, "dir", "the key is missing", "write dir=input or dir=output");
    out.direction = **dir == 0 ? TensorDirection::Input : TensorDirection::Output;

    const auto type = value(section, "type");
    if (!type)
        return bad(section, "type", "the key is missing", "write for instance type=float32");
    const auto parsed = dtype_from_name(*type);
    if (!parsed)
        return bad(section, "type", std::format("{} is not known", in_quotes(*type)),
                   "write one of: float32, uint8, int8, int32, int64, float16");
    out.type = *parsed;

    out.id = value(section, "id").value_or("");
    if (out.id.starts_with("PLACEHOLDER"))
        return bad(section, "id", std::format("{} was left to be filled in", in_quotes(out.id)),
                   "write the id decoders look for, for instance id=yolo-v8-out");

    out.bind = value(section, "bind").value_or("");
    if (!out.bind.empty() && out.direction == TensorDirection::Output)
        return bad(section, "bind", "an output is bound to nothing", "remove the key");
    if (const bool file = out.bind.starts_with(file_binding) && out.bind.size() > file_binding.size(); file)
        ; // found when it is loaded
    else if (constexpr std::array<std::string_view, 4> frame{"", "frame:y", "frame:uv", "frame:rgb"};
             std::ranges::find(frame, out.bind) == frame.end())
        return bad(section, "bind", std::format("{} is not known", shown(out.bind)),
                   "write one of: frame:y, frame:uv, frame:rgb, file:PATH");

    constexpr std::array<std::string_view, 2> orders{"row-major", "col-major"};
    const auto order = word(section, "dims-order", orders);
    if (!order)
        return std::unexpected(order.error());
    out.column_major = *order && **order == 1;

    if (auto status = dims(section, out); !status)
        return std::unexpected(status.error());
    if (auto status = ranges(section, out); !status)
        return std::unexpected(status.error());
    return out;
}

Result<std::optional<std::array<float, 3>>> Parser::triple(const char *key, bool may_be_zero) const
{
    const auto text = value(own_section, key);
    if (!text)
        return std::nullopt;
    const auto parts = split(*text, ',');
    std::array<float, 3> out{};
    if (parts.size() != 1 && parts.size() != 3)
        return bad(own_section, key, std::format("{} is not one number or three", in_quotes(*text)),
                   std::format("write for instance {}=123.7,116.3,103.5, one per channel in the model's order", key));
    for (size_t i = 0; i < 3; ++i) {
        const auto n = number<float>(parts[parts.size() == 1 ? 0 : i]);
        if (!n || (!may_be_zero && *n == 0.f))
            return bad(own_section, key,
                       std::format("{} is not a usable number", in_quotes(parts[parts.size() == 1 ? 0 : i])),
                       "write decimal numbers with a point");
        out[i] = *n;
    }
    return out;
}

Status Parser::own(ModelInfo &info) const
{
    if (!g_key_file_has_group(file_, own_section))
        return {};
    constexpr std::array<std::string_view, 2> engines{"onnx", "null"};
    constexpr std::array<std::string_view, 1> planes{"nv12"};
    constexpr std::array<std::string_view, 2> scales{"stretch", "letterbox"};
    constexpr std::array<std::string_view, 2> colours{"RGB", "BGR"};
    const auto engine = word(own_section, "engine", engines);
    const auto plane = word(own_section, "planes", planes);
    const auto scale = word(own_section, "scale-mode", scales);
    const auto colour = word(own_section, "colour", colours);
    for (const auto *r : {&engine, &plane, &scale, &colour})
        if (!*r)
            return std::unexpected(r->error());
    if (*engine)
        info.engine = engines[**engine];
    if (*plane)
        info.planes = planes[**plane];
    if (*scale)
        info.preprocess.scale = **scale == 0 ? ScaleMode::Stretch : ScaleMode::Letterbox;
    if (*colour)
        info.preprocess.order = **colour == 0 ? ChannelOrder::RGB : ChannelOrder::BGR;
    if (const auto pad = value(own_section, "pad-value")) {
        const auto n = number<unsigned>(*pad);
        if (!n || *n > 255)
            return bad(own_section, "pad-value", std::format("{} is not in 0..255", in_quotes(*pad)),
                       "write for instance pad-value=114");
        info.preprocess.pad_value = static_cast<uint8_t>(*n);
    }
    if (const auto labels = value(own_section, "labels"); labels && !labels->empty())
        info.labels = (std::filesystem::path(path_).parent_path() / *labels).string();
    return {};
}

// Input ranges say how 0..255 is mapped: value = pixel * (max - min) / 255 + min (GStreamer 1.28 modelinfo.c). mean and
// scale of [gst-habana] override, each on its own.
Status Parser::normalisation(ModelInfo &info) const
{
    const auto input = std::ranges::find_if(
        info.tensors, [](const TensorInfo &t) { return t.direction == TensorDirection::Input && !t.ranges.empty(); });
    if (input != info.tensors.end()) {
        if (input->ranges.size() != 1 && input->ranges.size() != 3)
            return bad(input->name, "ranges", std::format("{} ranges for an image of 3 channels", input->ranges.size()),
                       "give one range for all channels or three");
        for (size_t c = 0; c < 3; ++c) {
            const auto [low, high] = input->ranges[input->ranges.size() == 1 ? 0 : c];
            const double scale = (high - low) / 255.0;
            info.preprocess.scale_by[c] = static_cast<float>(scale);
            info.preprocess.mean[c] = low == 0.0 ? 0.f : static_cast<float>(-low / scale);
            if (!std::isfinite(info.preprocess.scale_by[c]) || info.preprocess.scale_by[c] == 0.f ||
                !std::isfinite(info.preprocess.mean[c]))
                return bad(input->name, "ranges", std::format("{},{} is out of float32's reach", low, high),
                           "give the range of the model's input values, for instance ranges=0.0,1.0");
        }
    }
    const auto mean = triple("mean", true);
    const auto scale = triple("scale", false);
    if (!mean)
        return std::unexpected(mean.error());
    if (!scale)
        return std::unexpected(scale.error());
    if (*mean)
        info.preprocess.mean = **mean;
    if (*scale)
        info.preprocess.scale_by = **scale;
    return {};
}

Result<ModelInfo> Parser::parse()
{
    ModelInfo info;
    if (auto status = version(info); !status)
        return std::unexpected(status.error());
    gsize count = 0;
    const std::unique_ptr<char *, StrvFree> groups(g_key_file_get_groups(file_, &count));
    if (count > max_sections)
        return bad(main_section, "", std::format("the file has {} sections, at most {} are read", count, max_sections),
                   "describe inputs and outputs only");
    for (gsize i = 0; i < count; ++i) {
        const char *section = groups.get()[i];
        if (std::string_view(section) == main_section || std::string_view(section) == own_section)
            continue;
        auto t = tensor(section);
        if (!t)
            return std::unexpected(t.error());
        info.tensors.push_back(std::move(*t));
    }
    if (auto status = own(info); !status)
        return std::unexpected(status.error());
    if (auto status = normalisation(info); !status)
        return std::unexpected(status.error());
    return info;
}

// As g_key_file_get_string() undoes it.
std::string escaped(std::string_view text)
{
    std::string out;
    for (const char c : text)
        switch (c) {
        case '\\':
            out += "\\\\";
            break;
        case '\n':
            out += "\\n";
            break;
        case '\t':
            out += "\\t";
            break;
        case '\r':
            out += "\\r";
            break;
        default:
            out += c;
        }
    return out;
}

std::string range_text(const std::vector<std::pair<double, double>> &ranges)
{
    // Always with a point, so that a reader sees that fractions are meant.
    const auto decimal = [](double v) {
        std::string s = std::format("{}", v);
        return s.find_first_of(".e") == std::string::npos ? s + ".0" : s;
    };
    std::string out;
    for (const auto &[low, high] : ranges)
        out += std::format("{}{},{}", out.empty() ? "" : ";", decimal(low), decimal(high));
    return out;
}

} // namespace

const TensorInfo *ModelInfo::find(std::string_view tensor_name) const noexcept
{
    const auto at = std::ranges::find(tensors, tensor_name, &TensorInfo::name);
    return at == tensors.end() ? nullptr : &*at;
}

Result<ModelInfo> ModelInfo::load(const std::string &path)
{
    auto text = read_bounded_file(path, max_file_bytes, ErrorCode::ModelMissing, ErrorCode::ModelInfoInvalid,
                                  "model description");
    if (!text)
        return std::unexpected(text.error());
    return parse(*text, path);
}

Result<ModelInfo> ModelInfo::parse(const std::string &text, const std::string &path)
{
    if (!g_utf8_validate(text.data(), static_cast<gssize>(text.size()), nullptr))
        return fail(ErrorCode::ModelInfoInvalid, "read model description",
                    std::format("{} is not a text file in UTF-8", path),
                    "give a .modelinfo file: an ini text with a section per tensor");
    const std::unique_ptr<GKeyFile, KeyFileFree> file(g_key_file_new());
    GError *raw = nullptr;
    // An empty file parses as one without sections; GLib wants a length for it all the same.
    if (!g_key_file_load_from_data(file.get(), text.c_str(), text.size(), G_KEY_FILE_NONE, &raw)) {
        const std::unique_ptr<GError, GErrorFree> error(raw);
        return fail(ErrorCode::ModelInfoInvalid, "read model description",
                    std::format("{} is not an ini file: {}", path, shown(error->message, 200)),
                    "give a .modelinfo file: an ini text with a section per tensor");
    }
    return Parser(path, file.get()).parse();
}

std::string ModelInfo::skeleton() const
{
    std::string out = std::format("[modelinfo]\nversion={}\n", version.empty() ? "1.0" : escaped(version));
    if (!group_id.empty())
        out += std::format("group-id={}\n", escaped(group_id));
    for (const TensorInfo &t : tensors) {
        out += std::format("\n[{}]\ndir={}\n", t.name, t.direction == TensorDirection::Input ? "input" : "output");
        if (!t.id.empty())
            out += std::format("id={}\n", escaped(t.id));
        out += std::format("type={}\n", dtype_name(t.type));
        if (t.shape.rank() > 0) {
            std::string dims;
            for (const int64_t d : t.shape.dims())
                dims += std::format("{}{}", dims.empty() ? "" : ",", d > 0 ? d : -1);
            out += std::format("dims={}\n", dims);
        }
        out += std::format("dims-order={}\n", t.column_major ? "col-major" : "row-major");
        if (!t.bind.empty())
            out += std::format("bind={}\n", escaped(t.bind));
        if (!t.ranges.empty())
            out += std::format("ranges={}\n", range_text(t.ranges));
    }
    return out;
}

} // namespace hl
