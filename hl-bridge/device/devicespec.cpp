// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/devicespec.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <optional>
#include <utility>

namespace hl {
namespace {

template <class T>
std::optional<T> parse_number(std::string_view text, int base = 10)
{
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

bool is_name(std::string_view text)
{
    return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
               c == '.';
    });
}

// DDDD:BB:DD.F, hexadecimal.
std::optional<std::string> pci_address(std::string_view text)
{
    if (text.size() != 12 || text[4] != ':' || text[7] != ':' || text[10] != '.' || text[11] < '0' || text[11] > '7')
        return std::nullopt;
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i] >= 'A' && text[i] <= 'F' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
        const bool separator = i == 4 || i == 7 || i == 10;
        if (!separator && !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return std::nullopt;
        out += c;
    }
    return out;
}

std::string first_line(const std::filesystem::path &path)
{
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::optional<uint32_t> hex_file(const std::filesystem::path &path)
{
    const std::string line = first_line(path);
    return line.starts_with("0x") ? parse_number<uint32_t>(std::string_view(line).substr(2), 16) : std::nullopt;
}

// The N of a child directory `prefix`N of `parent`, -1 if there is none.
int node_number(const std::filesystem::path &parent, std::string_view prefix)
{
    std::error_code error;
    for (std::filesystem::directory_iterator at(parent, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (name.starts_with(prefix))
            if (const auto n = parse_number<int>(std::string_view(name).substr(prefix.size())))
                return *n;
    }
    return -1;
}

// The drivers' classes: accel of Linux 6.7 and later, habanalabs before, whose attributes hang on the class device.
PciGaudi read_gaudi(const std::filesystem::path &device)
{
    PciGaudi gaudi{.address = device.filename().string(),
                   .device = static_cast<uint16_t>(hex_file(device / "device").value_or(0)),
                   .accel = node_number(device / "accel", "accel")};
    std::filesystem::path attributes = device;
    if (gaudi.accel < 0) {
        gaudi.accel = node_number(device / "habanalabs", "hl");
        gaudi.legacy = gaudi.accel >= 0;
        if (gaudi.legacy)
            attributes = device / "habanalabs" / std::format("hl{}", gaudi.accel);
    }
    gaudi.module = parse_number<int>(first_line(attributes / "module_id")).value_or(-1);
    return gaudi;
}

// Whether `value` is in the comma list, or nullopt if the list is malformed.
std::optional<bool> listed(std::string_view list, int value)
{
    bool found = false;
    for (;;) {
        const auto comma = list.find(',');
        const auto n = parse_number<uint32_t>(list.substr(0, comma));
        if (!n)
            return std::nullopt;
        found |= value >= 0 && *n == static_cast<uint32_t>(value);
        if (comma == std::string_view::npos)
            return found;
        list.remove_prefix(comma + 1);
    }
}

Result<bool> visible_by(const char *variable, int value)
{
    const char *list = std::getenv(variable);
    if (!list || !*list || value < 0)
        return true;
    const auto found = listed(list, value);
    if (!found)
        return fail(ErrorCode::DeviceConfig, std::format("read {}", variable),
                    std::format("{}=\"{}\" is no list of numbers", variable, shown(list, 60)),
                    std::format("set {} to numbers with commas between, e.g. 0,1", variable));
    return *found;
}

constexpr std::array<std::pair<std::string_view, DeviceSpec::Runtime>, 2> runtimes{
    {{"synapse", DeviceSpec::Runtime::Synapse}, {"kernel", DeviceSpec::Runtime::Kernel}}};

// A specification that may name a real Gaudi.
std::optional<DeviceSpec> hardware(std::string_view text)
{
    if (text == "auto")
        return DeviceSpec{};
    if (text.starts_with("accel"))
        if (const auto n = parse_number<uint32_t>(text.substr(5)))
            return DeviceSpec{.kind = DeviceSpec::Kind::Accel, .number = *n};
    if (text.starts_with("module:"))
        if (const auto n = parse_number<uint32_t>(text.substr(7)))
            return DeviceSpec{.kind = DeviceSpec::Kind::Module, .number = *n};
    if (auto address = pci_address(text))
        return DeviceSpec{.kind = DeviceSpec::Kind::Pci, .name = std::move(*address)};
    return std::nullopt;
}

} // namespace

Result<DeviceSpec> DeviceSpec::parse(std::string_view text)
{
    if (text == "sim")
        return DeviceSpec{.kind = Kind::Sim};
    if (text.starts_with("sim:") && is_name(text.substr(4)))
        return DeviceSpec{.kind = Kind::Sim, .name = std::string(text.substr(4))};
    for (const auto &[word, runtime] : runtimes) {
        if (text == word)
            return DeviceSpec{.runtime = runtime};
        if (text.starts_with(word) && text.substr(word.size()).starts_with(':'))
            if (auto spec = hardware(text.substr(word.size() + 1))) {
                spec->runtime = runtime;
                return *std::move(spec);
            }
    }
    if (auto spec = hardware(text))
        return *std::move(spec);
    return fail(ErrorCode::DeviceSpec, "open device", std::format("\"{}\" names no device", shown(text)),
                "use auto, sim, sim:NAME, accel0, a PCI address such as 0000:4d:00.0, or module:3; the last three also "
                "behind synapse: or kernel:");
}

std::string DeviceSpec::text() const
{
    const auto prefixed = [this](std::string rest) {
        for (const auto &[word, named] : runtimes)
            if (named == runtime)
                return kind == Kind::Auto ? std::string(word) : std::format("{}:{}", word, rest);
        return rest;
    };
    switch (kind) {
    case Kind::Auto:
        return prefixed("auto");
    case Kind::Sim:
        return name.empty() ? "sim" : "sim:" + name;
    case Kind::Accel:
        return prefixed(std::format("accel{}", number));
    case Kind::Pci:
        return prefixed(name);
    case Kind::Module:
        return prefixed(std::format("module:{}", number));
    }
    return {};
}

Result<DeviceSpec::Runtime> DeviceSpec::runtime_from_environment()
{
    const char *value = std::getenv("HL_RUNTIME");
    const std::string_view wanted = value ? value : "";
    if (wanted.empty() || wanted == "auto")
        return Runtime::Any;
    for (const auto &[word, runtime] : runtimes)
        if (wanted == word)
            return runtime;
    return fail(ErrorCode::DeviceConfig, "read HL_RUNTIME",
                std::format("HL_RUNTIME=\"{}\" is no way to a Gaudi", wanted.substr(0, 60)),
                "set HL_RUNTIME to synapse, kernel or auto");
}

std::string sysfs_root()
{
    const char *root = std::getenv("HL_SYSFS");
    return root && *root ? root : "/sys";
}

std::vector<PciGaudi> find_pci_gaudis(const std::string &sysfs)
{
    constexpr uint32_t habana = 0x1da3;
    constexpr uint32_t network_class = 0x02;
    namespace fs = std::filesystem;
    std::vector<PciGaudi> found;
    std::error_code error;
    for (fs::directory_iterator at(fs::path(sysfs) / "bus/pci/devices", error), end; !error && at != end;
         at.increment(error)) {
        const auto vendor = hex_file(at->path() / "vendor");
        const auto function = hex_file(at->path() / "class");
        if (vendor != habana || (function && *function >> 16 == network_class))
            continue;
        found.push_back(read_gaudi(at->path()));
    }
    std::ranges::sort(found, {}, &PciGaudi::address);
    return found;
}

Result<bool> visible(const PciGaudi &gaudi)
{
    auto by_module = visible_by("HABANA_VISIBLE_MODULES", gaudi.module);
    if (!by_module || !*by_module)
        return by_module;
    const char *devices = std::getenv("HABANA_VISIBLE_DEVICES");
    const std::string_view list = devices ? devices : "";
    if (list == "all")
        return true;
    if (list == "none" || list == "void")
        return false;
    return visible_by("HABANA_VISIBLE_DEVICES", gaudi.accel);
}

} // namespace hl
