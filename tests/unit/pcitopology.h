// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "temporarydir.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <format>
#include <fstream>
#include <map>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace hl::test {

// A machine's PCI tree, described in a file of tests/unit/topologies, and laid out below a directory as sysfs and
// procfs show it. A line is one of
//   cpu VENDOR FAMILY                     the processor, as in /proc/cpuinfo
//   kernel p2pdma|plain                   whether the kernel has CONFIG_PCI_P2PDMA
//   host pciDDDD:BB                       a host bridge
//     ADDRESS VENDOR:DEVICE CLASS [PORT] [NAME=VALUE...]
//                                         a function, below the nearest line above that is indented less; PORT is
//                                         root-port, upstream or downstream; acs=CONTROL, barN=SIZE, config=BYTES,
//                                         iommu=TYPE, driver=NAME, accel=N, and the class devices video=N,
//                                         card=N, render=N, rdma=NAME
//   platform NAME video=N                  a camera that is no PCI device
//   expect EXPORTER IMPORTER ROUTE [meeting=ADDRESS] [redirecting=ADDRESS,...]
//   bar ADDRESS N SIZE                    what the tree is to say of a BAR
class PciTopology {
public:
    struct Expectation {
        std::string exporter, importer, route;
        std::map<std::string, std::string> facts;
    };
    struct Bar {
        std::string address;
        size_t index;
        uint64_t bytes;
    };

    explicit PciTopology(const std::filesystem::path &file)
    {
        std::ifstream in(file);
        if (!in)
            throw std::runtime_error("no topology " + file.string());
        std::filesystem::create_directories(path("proc"));
        std::filesystem::create_directories(path("sys/bus/pci/devices"));
        for (std::string line; std::getline(in, line);)
            read(line);
    }

    [[nodiscard]] std::string root() const { return directory_.path().string(); }
    std::vector<Expectation> expectations;
    std::vector<Bar> bars;

private:
    [[nodiscard]] std::filesystem::path path(const std::string &name) const { return directory_.path() / name; }

    static uint64_t size_of(const std::string &text)
    {
        const std::string units = "KMGT";
        const size_t unit = units.find(text.back());
        const uint64_t number = std::stoull(text);
        return unit == std::string::npos ? number : number << (10 * (unit + 1));
    }

    static std::vector<std::string> words_of(const std::string &line)
    {
        std::istringstream in(line);
        return {std::istream_iterator<std::string>(in), {}};
    }

    void read(const std::string &line)
    {
        const auto words = words_of(line);
        if (words.empty() || words[0].starts_with("#"))
            return;
        if (words[0] == "cpu") {
            std::ofstream(path("proc/cpuinfo")) << "processor\t: 0\nvendor_id\t: " << words.at(1)
                                                << "\ncpu family\t: " << words.at(2) << "\nmodel\t\t: 1\n";
        } else if (words[0] == "kernel") {
            std::ofstream(path("proc/kallsyms"))
                << "0000000000000000 T pci_enable_device\n"
                << (words.at(1) == "p2pdma" ? "0000000000000000 T pci_p2pdma_distance_many\n" : "");
        } else if (words[0] == "host") {
            above_ = {{0, path("sys/devices/" + words.at(1))}};
        } else if (words[0] == "platform") {
            add_nodes(path("sys/devices/platform/" + words.at(1)), facts(words, 2));
        } else if (words[0] == "expect") {
            expectations.push_back({words.at(1), words.at(2), words.at(3), facts(words, 4)});
        } else if (words[0] == "bar") {
            bars.push_back({words.at(1), std::stoul(words.at(2)), size_of(words.at(3))});
        } else {
            add_function(line.find_first_not_of(' '), words);
        }
    }

    static std::map<std::string, std::string> facts(const std::vector<std::string> &words, size_t from)
    {
        std::map<std::string, std::string> out;
        for (const std::string &word : words | std::views::drop(from))
            if (const size_t equals = word.find('='); equals != std::string::npos)
                out[word.substr(0, equals)] = word.substr(equals + 1);
            else
                out["port"] = word;
        return out;
    }

    void add_function(size_t indent, const std::vector<std::string> &words)
    {
        while (above_.back().first >= indent)
            above_.pop_back();
        const auto device = above_.back().second / words.at(0);
        above_.emplace_back(indent, device);
        std::filesystem::create_directories(device);
        std::filesystem::create_symlink(device, path("sys/bus/pci/devices/" + words[0]));
        std::ofstream(device / "vendor") << "0x" << words.at(1).substr(0, 4) << '\n';
        std::ofstream(device / "device") << "0x" << words.at(1).substr(5) << '\n';
        std::ofstream(device / "class") << "0x" << words.at(2) << '\n';
        const auto given = facts(words, 3);
        write_config(device, given);
        write_resources(device, given);
        if (given.contains("iommu"))
            add_group(device, given.at("iommu"));
        if (given.contains("driver"))
            std::filesystem::create_symlink("/sys/bus/pci/drivers/" + given.at("driver"), device / "driver");
        add_nodes(device, given);
        if (given.contains("accel"))
            std::filesystem::create_directories(device / "accel" / ("accel" + given.at("accel")));
    }

    void add_nodes(const std::filesystem::path &device, const std::map<std::string, std::string> &given)
    {
        const std::map<std::string, std::pair<std::string, std::string>> classes{{"video", {"video4linux", "video"}},
                                                                                 {"card", {"drm", "card"}},
                                                                                 {"render", {"drm", "renderD"}},
                                                                                 {"rdma", {"infiniband", ""}}};
        for (const auto &[fact, value] : given) {
            const auto at = classes.find(fact);
            if (at == classes.end())
                continue;
            const auto &[name, prefix] = at->second;
            const auto node = device / name / (prefix + value);
            std::filesystem::create_directories(node);
            std::filesystem::create_symlink(device, node / "device");
            std::filesystem::create_directories(path("sys/class/" + name));
            std::filesystem::create_symlink(node, path("sys/class/" + name + '/' + prefix + value));
        }
    }

    // The capabilities that say what a port is, and its ACS control register.
    static void write_config(const std::filesystem::path &device, const std::map<std::string, std::string> &given)
    {
        std::vector<char> config(4096);
        config[0x06] = 0x10; // a capability list
        config[0x34] = 0x40;
        config[0x40] = 0x01; // power management, then PCI Express
        config[0x41] = 0x50;
        config[0x50] = 0x10;
        const std::map<std::string, int> types{{"root-port", 4}, {"upstream", 5}, {"downstream", 6}};
        config[0x52] = given.contains("port") ? static_cast<char>(types.at(given.at("port")) << 4 | 2) : 2;
        config[0x100] = 0x01; // AER, then ACS
        config[0x102] = 0x01;
        if (given.contains("acs")) {
            config[0x102] = 0x01;
            config[0x103] = 0x15; // next: 0x150
            config[0x150] = 0x0d;
            config[0x152] = 0x01;
            unsigned control = 0;
            const std::string &text = given.at("acs");
            std::from_chars(text.data(), text.data() + text.size(), control, 16);
            config[0x156] = static_cast<char>(control);
        }
        if (given.contains("config"))
            config.resize(size_of(given.at("config")));
        std::ofstream(device / "config", std::ios::binary)
            .write(config.data(), static_cast<std::streamsize>(config.size()));
    }

    static void write_resources(const std::filesystem::path &device, const std::map<std::string, std::string> &given)
    {
        std::ofstream out(device / "resource");
        for (int bar = 0; bar < 6; ++bar) {
            const auto at = given.find(std::format("bar{}", bar));
            const uint64_t begin =
                at == given.end() ? 0 : uint64_t{0x380000000000} + (static_cast<uint64_t>(bar) << 40);
            out << std::format("0x{:016x} 0x{:016x} 0x{:016x}\n", begin, begin ? begin + size_of(at->second) - 1 : 0,
                               begin ? 0x14220cu : 0u);
        }
    }

    void add_group(const std::filesystem::path &device, const std::string &type)
    {
        const auto group = path(std::format("sys/kernel/iommu_groups/{}", ++groups_));
        std::filesystem::create_directories(group);
        std::ofstream(group / "type") << type << '\n';
        std::filesystem::create_symlink(group, device / "iommu_group");
    }

    TemporaryDir directory_;
    std::vector<std::pair<size_t, std::filesystem::path>> above_;
    int groups_ = 0;
};

} // namespace hl::test
