// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/modelcheck.h"

#include "backends/onnx/wirereader.h"
#include "core/text.h"
#include "core/uniquefd.h"
#include "inference/datafile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <filesystem>
#include <format>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace hl {
namespace {

namespace fs = std::filesystem;

// protobuf messages hold less than 2 GiB (protobuf.dev: "Total size of message"), and an ONNX file is one.
constexpr uint64_t most_file_bytes = INT32_MAX;
constexpr unsigned deepest_message = 100; // protobuf's own parser goes no deeper (io/coded_stream.h)
// Bounds on what a file may have this process remember: files of data, their names' bytes, and names for one tensor, of
// which exporters write one.
constexpr size_t most_data_files = 65536;
constexpr size_t most_name_bytes = size_t{4} << 20;
constexpr size_t most_locations = 16;
constexpr size_t shown_name = 200; // of a file, in a message
// ONNX Runtime takes the offset of a tensor at this location for an address in this process
// (core/framework/tensorprotoutils.h kTensorProtoMemoryAddressTag).
constexpr std::string_view memory_address = "*/_ORT_MEM_ADDR_/*";

// The messages of onnx.proto (IR version 11) that lead to tensors.
enum class Message : uint8_t { Model, Graph, Node, Attribute, Tensor, SparseTensor, Function, Training };

struct Step {
    Message in;
    uint32_t field;
    Message to;
};
constexpr std::array<Step, 19> steps{{{Message::Model, 7, Message::Graph},
                                      {Message::Model, 20, Message::Training},
                                      {Message::Model, 25, Message::Function},
                                      {Message::Training, 1, Message::Graph},
                                      {Message::Training, 2, Message::Graph},
                                      {Message::Function, 7, Message::Node},
                                      {Message::Function, 11, Message::Attribute},
                                      {Message::Graph, 1, Message::Node},
                                      {Message::Graph, 5, Message::Tensor},
                                      {Message::Graph, 15, Message::SparseTensor},
                                      {Message::Node, 5, Message::Attribute},
                                      {Message::Attribute, 5, Message::Tensor},
                                      {Message::Attribute, 6, Message::Graph},
                                      {Message::Attribute, 10, Message::Tensor},
                                      {Message::Attribute, 11, Message::Graph},
                                      {Message::Attribute, 22, Message::SparseTensor},
                                      {Message::Attribute, 23, Message::SparseTensor},
                                      {Message::SparseTensor, 1, Message::Tensor},
                                      {Message::SparseTensor, 2, Message::Tensor}}};
constexpr uint32_t external_data_field = 13; // of Tensor: key and value, repeated

constexpr std::optional<Message> step(Message in, uint32_t field) noexcept
{
    const auto at = std::ranges::find_if(steps, [=](const Step &s) { return s.field == field && s.in == in; });
    return at == steps.end() ? std::nullopt : std::optional(at->to);
}

std::unexpected<Error> corrupt(const std::string &path, const std::string &why)
{
    return fail(ErrorCode::ModelCorrupt, "load model", std::format("{} is not a complete .onnx file: {}", path, why),
                "copy or export the model again");
}

class Scan {
public:
    Scan(int fd, uint64_t size) noexcept : reader_(fd, size) {}

    [[nodiscard]] std::expected<ExternalData, WireReader::Malformed> run()
    {
        if (auto walked = walk(Message::Model, reader_.all(), 0); !walked)
            return std::unexpected(std::move(walked.error()));
        return std::move(found_);
    }

private:
    using Walked = std::expected<void, WireReader::Malformed>;
    // Of one tensor. Where a key comes twice, the last one counts, but each location is looked at.
    struct Place {
        std::vector<std::string> locations;
        uint64_t offset = 0;
        uint64_t length = 0;
    };

    [[nodiscard]] Walked walk(Message kind, WireReader::Range message, unsigned depth);
    [[nodiscard]] Walked entry(WireReader::Range message, Place &place);
    [[nodiscard]] Walked keep(const Place &place);

    WireReader reader_;
    ExternalData found_;
    size_t name_bytes_ = 0;
};

Scan::Walked Scan::walk(Message kind, WireReader::Range message, unsigned depth)
{
    if (depth > deepest_message)
        return std::unexpected(std::format("it has graphs in graphs, more than {} deep", deepest_message));
    Place place;
    for (;;) {
        const auto field = reader_.next(message);
        if (!field)
            return std::unexpected(field.error());
        if (!*field)
            return keep(place);
        if ((*field)->type != WireReader::Type::Bytes)
            continue;
        Walked walked;
        if (kind == Message::Tensor && (*field)->number == external_data_field)
            walked = entry((*field)->content, place);
        else if (const auto to = step(kind, (*field)->number))
            walked = walk(*to, (*field)->content, depth + 1);
        if (!walked)
            return walked;
    }
}

std::optional<uint64_t> number(const std::string &text) noexcept
{
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

Scan::Walked Scan::entry(WireReader::Range message, Place &place)
{
    std::array<std::string, 2> said; // key, value
    for (;;) {
        const auto field = reader_.next(message);
        if (!field)
            return std::unexpected(field.error());
        if (!*field)
            break;
        if ((*field)->type != WireReader::Type::Bytes || (*field)->number < 1 || (*field)->number > 2)
            continue;
        auto text = reader_.text((*field)->content, PATH_MAX);
        if (!text)
            return std::unexpected(std::move(text.error()));
        said[(*field)->number - 1] = std::move(*text);
    }
    const auto &[key, value] = said;
    if (key == "location") {
        if (place.locations.size() == most_locations)
            return std::unexpected(std::format("a tensor's data has more than {} locations", most_locations));
        place.locations.push_back(value);
    }
    if (key != "offset" && key != "length")
        return {};
    const auto bytes = number(value);
    if (!bytes || *bytes > INT64_MAX / 2)
        return std::unexpected(std::format("a tensor's data has the {} \"{}\"", key, shown(value, 40)));
    (key == "offset" ? place.offset : place.length) = *bytes;
    return {};
}

Scan::Walked Scan::keep(const Place &place)
{
    for (const std::string &location : place.locations) {
        const auto [at, added] = found_.try_emplace(location, 0);
        at->second = std::max(at->second, place.offset + place.length);
        name_bytes_ += added ? location.size() : 0;
        if (found_.size() > most_data_files)
            return std::unexpected(std::format("it names more than {} files of data", most_data_files));
        if (name_bytes_ > most_name_bytes)
            return std::unexpected(
                std::format("the names of its files of data have more than {} MiB", most_name_bytes >> 20));
    }
    return {};
}

Status check_data_file(const std::string &model, const std::string &location, uint64_t needed)
{
    if (location == memory_address)
        return fail(ErrorCode::ModelDataOutside, "load model",
                    std::format("{} wants data from \"{}\", which is no file name", model, location),
                    "export the model anew, with its data in one folder with it");
    const auto file = find_data_file(model, location);
    if (!file)
        return std::unexpected(file.error());
    std::error_code error;
    const uint64_t size = fs::file_size(*file, error);
    if (!error && size >= needed)
        return {};
    return fail(ErrorCode::ModelCorrupt, "load model",
                std::format("the data \"{}\" of {} has {} bytes, and the model needs {}", shown(location, shown_name),
                            model, error ? 0 : size, needed),
                "copy or export model and data again");
}

Status check_external_data(const std::string &path, const ExternalData &data)
{
    uint64_t total = 0;
    for (const auto &[location, needed] : data) {
        if (auto fits = check_data_file(path, location, needed); !fits)
            return fits;
        total += needed;
    }
    const auto memory =
        static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    if (total > memory)
        return fail(
            ErrorCode::ModelTooLarge, "load model",
            std::format("{} has {} MiB of weights, and this machine {} MiB of memory", path, total >> 20, memory >> 20),
            "use a smaller model, or a larger machine");
    return {};
}

} // namespace

Result<ExternalData> find_external_data(int fd, uint64_t size, const std::string &path)
{
    auto found = Scan(fd, size).run();
    if (!found)
        return corrupt(path, found.error());
    return std::move(*found);
}

Status check_model_file(const std::string &path)
{
    // O_NONBLOCK: opening a pipe that nobody writes must not wait.
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat st{};
    if (!fd || ::fstat(fd.get(), &st) != 0) {
        const int err = errno;
        return fail(ErrorCode::ModelMissing, "load model", std::format("cannot open {}: {}", path, errno_text(err)),
                    "check the path and its permissions", err);
    }
    if (!S_ISREG(st.st_mode))
        return fail(ErrorCode::ModelMissing, "load model", path + " is not a file", "give the path of an .onnx file");
    const auto size = static_cast<uint64_t>(st.st_size);
    if (size == 0) // ONNX Runtime takes it for a model without nodes
        return fail(ErrorCode::ModelCorrupt, "load model", path + " is empty", "copy or export the model again");
    if (size > most_file_bytes)
        return fail(ErrorCode::ModelTooLarge, "load model",
                    std::format("{} has {} MiB, and an .onnx file less than 2048", path, size >> 20),
                    "export the model with external data (its weights in a file of their own beside it)");
    const auto data = find_external_data(fd.get(), size, path);
    if (!data)
        return std::unexpected(data.error());
    return check_external_data(path, *data);
}

} // namespace hl
