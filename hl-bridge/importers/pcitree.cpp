// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/pcitree.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <format>
#include <fstream>
#include <iterator>
#include <string_view>

namespace hl {
namespace {

namespace fs = std::filesystem;

// Of the PCI specifications; linux/pci_regs.h names them alike.
constexpr size_t status_word = 0x06;
constexpr uint16_t status_capabilities = 0x10;
constexpr size_t first_capability = 0x34;
constexpr uint8_t capability_express = 0x10;
constexpr size_t express_flags = 0x02;
constexpr size_t extended_config = 0x100;
constexpr uint16_t extended_acs = 0x000d;
constexpr size_t acs_control = 0x06;

std::string first_line(const fs::path &path)
{
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

uint64_t hex(std::string_view text)
{
    if (text.starts_with("0x"))
        text.remove_prefix(2);
    uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return value;
}

// "0000:03:00.0"
bool is_pci_address(std::string_view name)
{
    return name.size() == 12 && name[4] == ':' && name[7] == ':' && name[10] == '.';
}

// A function's configuration space, as much of it as this user may read.
class Config {
public:
    explicit Config(const fs::path &path)
    {
        std::ifstream file(path, std::ios::binary);
        bytes_.assign(std::istreambuf_iterator<char>(file), {});
    }

    [[nodiscard]] bool extended() const noexcept { return bytes_.size() > extended_config; }

    [[nodiscard]] uint16_t word(size_t at) const noexcept
    {
        if (at + 2 > bytes_.size())
            return 0;
        return static_cast<uint16_t>(byte(at) | byte(at + 1) << 8);
    }

    [[nodiscard]] PciPort port() const noexcept
    {
        const size_t at = capability(capability_express);
        switch (at ? word(at + express_flags) >> 4 & 0xf : 0) {
        case 4:
            return PciPort::RootPort;
        case 5:
            return PciPort::SwitchUpstream;
        case 6:
            return PciPort::SwitchDownstream;
        case 7: // PCI Express to PCI
        case 8:
            return PciPort::OtherBridge;
        default:
            return PciPort::None;
        }
    }

    [[nodiscard]] std::optional<uint16_t> acs() const noexcept
    {
        const size_t at = extended_capability(extended_acs);
        return at ? std::optional(word(at + acs_control)) : std::nullopt;
    }

private:
    [[nodiscard]] uint8_t byte(size_t at) const noexcept { return static_cast<uint8_t>(bytes_[at]); }

    // Offset of a capability, 0 without it. A broken list ends after as many steps as there is room for entries.
    [[nodiscard]] size_t capability(uint8_t wanted) const noexcept
    {
        if (!(word(status_word) & status_capabilities))
            return 0;
        size_t at = word(first_capability) & 0xfc;
        for (int steps = 0; at >= 0x40 && steps < 48; ++steps) {
            const uint16_t head = word(at);
            if ((head & 0xff) == wanted)
                return at;
            at = head >> 8 & 0xfc;
        }
        return 0;
    }

    [[nodiscard]] size_t extended_capability(uint16_t wanted) const noexcept
    {
        size_t at = extended_config;
        for (int steps = 0; at >= extended_config && steps < 960; ++steps) {
            if (word(at) == wanted)
                return at;
            at = word(at + 2) >> 4 & 0xffc;
        }
        return 0;
    }

    std::vector<char> bytes_;
};

// The port's type lies behind the first 64 bytes; without it, what the class and the neighbours say.
PciPort port_by_place(const PciFunction &function, uint32_t class_code)
{
    constexpr uint32_t class_bridge_pci = 0x0604;
    if (class_code >> 8 != class_bridge_pci)
        return PciPort::None;
    return function.upstream.empty() ? PciPort::RootPort : PciPort::OtherBridge;
}

std::array<uint64_t, 6> bar_sizes(const fs::path &resource)
{
    std::array<uint64_t, 6> out{};
    std::ifstream file(resource);
    std::string begin, end, flags;
    for (uint64_t &bytes : out)
        if (file >> begin >> end >> flags)
            bytes = hex(end) ? hex(end) - hex(begin) + 1 : 0;
    return out;
}

std::string link_name(const fs::path &link)
{
    std::error_code error;
    return fs::read_symlink(link, error).filename().string();
}

// `device` is the resolved directory, whose path names all bridges above.
PciFunction read_function(const fs::path &device, const fs::path &groups)
{
    PciFunction out{.address = device.filename().string(),
                    .vendor = static_cast<uint16_t>(hex(first_line(device / "vendor"))),
                    .device = static_cast<uint16_t>(hex(first_line(device / "device")))};
    for (const fs::path &part : device.parent_path()) {
        const std::string name = part.string();
        if (name.starts_with("pci") && name.contains(':'))
            out.host_bridge = name;
        else if (is_pci_address(name))
            out.upstream.insert(out.upstream.begin(), name);
    }
    const Config config(device / "config");
    out.config_known = config.extended();
    out.acs_control = config.acs();
    out.port = config.port();
    if (out.port == PciPort::None)
        out.port = port_by_place(out, static_cast<uint32_t>(hex(first_line(device / "class"))));
    out.bar_bytes = bar_sizes(device / "resource");
    out.driver = link_name(device / "driver");
    if (const std::string group = link_name(device / "iommu_group"); !group.empty())
        out.iommu = first_line(groups / group / "type");
    return out;
}

// A line "key : value" of /proc/cpuinfo, the first processor's.
std::string cpu_fact(const std::string &text, std::string_view key)
{
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = std::string_view(text).substr(at, end - at);
        if (const size_t colon = line.find(':'); colon != std::string_view::npos && line.starts_with(key) &&
                                                 line.find_first_not_of(" \t", key.size()) == colon)
            return std::string(line.substr(std::min(line.find_first_not_of(" \t", colon + 1), line.size())));
        at = end + 1;
    }
    return {};
}

bool reads_trusted_cpu(const fs::path &cpuinfo)
{
    constexpr int zen = 0x17;
    std::ifstream file(cpuinfo);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const std::string family = cpu_fact(text, "cpu family");
    int number = 0;
    std::from_chars(family.data(), family.data() + family.size(), number);
    return cpu_fact(text, "vendor_id") == "AuthenticAMD" && number >= zen;
}

// The symbol list is open to everybody, its addresses are not.
std::optional<bool> reads_kernel_support(const fs::path &symbols)
{
    std::ifstream file(symbols);
    if (!file)
        return std::nullopt;
    bool any = false;
    for (std::string line; std::getline(file, line); any = true)
        if (line.contains(" pci_p2pdma_distance_many"))
            return true;
    return any ? std::optional(false) : std::nullopt;
}

} // namespace

PciTree PciTree::read(const std::string &root)
{
    PciTree out;
    std::error_code error;
    const fs::path sys = root + "/sys";
    for (fs::directory_iterator at(sys / "bus/pci/devices", error), end; !error && at != end; at.increment(error)) {
        std::error_code broken;
        const fs::path device = fs::canonical(at->path(), broken);
        if (!broken && is_pci_address(device.filename().string()))
            out.functions_.push_back(read_function(device, sys / "kernel/iommu_groups"));
    }
    std::ranges::sort(out.functions_, {}, &PciFunction::address);
    out.trusted_cpu_ = reads_trusted_cpu(root + "/proc/cpuinfo");
    out.kernel_support_ = reads_kernel_support(root + "/proc/kallsyms");
    return out;
}

const PciFunction *PciTree::find(const std::string &address) const noexcept
{
    const auto at = std::ranges::lower_bound(functions_, address, {}, &PciFunction::address);
    return at == functions_.end() || at->address != address ? nullptr : &*at;
}

const PciFunction *PciTree::host_bridge_device(const std::string &host_bridge) const noexcept
{
    const auto first = std::ranges::find_if(functions_, [&](const PciFunction &function) {
        return function.host_bridge == host_bridge && function.upstream.empty();
    });
    if (first == functions_.end())
        return nullptr;
    return first->address.ends_with(":00.0") || first->port == PciPort::RootPort ? &*first : nullptr;
}

std::string pci_address_of(const std::string &class_device)
{
    std::error_code error;
    fs::path device = fs::canonical(class_device, error);
    for (; !error && device.has_relative_path(); device = device.parent_path())
        if (is_pci_address(device.filename().string()))
            return device.filename().string();
    return {};
}

std::string class_device_of(const std::string &root, const std::string &node)
{
    std::error_code error;
    const fs::path real = fs::canonical(node, error);
    const std::string name = (error ? fs::path(node) : real).filename().string();
    return std::format("{}/sys/class/{}/{}", root, name.starts_with("video") ? "video4linux" : "drm", name);
}

} // namespace hl
