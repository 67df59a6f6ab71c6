// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/savedtree.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <format>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

namespace hl {
namespace {

namespace fs = std::filesystem;

// Where class devices that import stand.
constexpr std::array classes{"video4linux", "drm", "infiniband"};

class Saver {
public:
    Saver(std::string root, fs::path directory) : root_(std::move(root)), to_(std::move(directory)) {}

    void save()
    {
        for (const fs::path &entry : entries("/sys/bus/pci/devices"))
            device(entry);
        for (const char *const name : classes)
            for (const fs::path &entry : entries(std::format("/sys/class/{}", name)))
                link(entry, entry);
        for (const fs::path &entry : entries("/sys/kernel/iommu_groups"))
            text(entry / "type");
        text("/proc/cpuinfo");
        symbols();
    }

private:
    [[nodiscard]] fs::path from(const fs::path &path) const { return root_ + path.string(); }
    [[nodiscard]] fs::path to(const fs::path &path) const { return to_.string() + path.string(); }

    // Paths as on the machine itself.
    [[nodiscard]] std::vector<fs::path> entries(const fs::path &directory) const
    {
        std::vector<fs::path> out;
        std::error_code error;
        for (fs::directory_iterator at(from(directory), error), end; !error && at != end; at.increment(error))
            out.push_back(directory / at->path().filename());
        return out;
    }

    // Where a link of the machine leads, as a path on it.
    [[nodiscard]] fs::path target(const fs::path &path) const
    {
        std::error_code error;
        const fs::path real = fs::canonical(from(path), error);
        if (error)
            return {};
        return "/" / real.lexically_relative(root_.empty() ? fs::path("/") : fs::canonical(root_));
    }

    void device(const fs::path &entry)
    {
        const fs::path at = target(entry);
        if (at.empty())
            return;
        for (const char *const name : {"vendor", "device", "class", "config", "resource", "module_id"})
            text(at / name);
        for (const char *const name : {"driver", "iommu_group"})
            name_link(at / name);
        for (const fs::path &node : entries(at / "accel"))
            fs::create_directories(to(node));
        link(entry, at);
    }

    // A link that shows where its target lies in the tree.
    void link(const fs::path &name, const fs::path &leads)
    {
        const fs::path at = leads == name ? target(name) : leads;
        if (at.empty())
            return;
        fs::create_directories(to(at));
        if (leads == name)
            device_link(at);
        make_link(fs::relative(to(at), to(name).parent_path()), to(name));
    }

    // Of a class device: the link to the function it belongs to.
    void device_link(const fs::path &at)
    {
        if (const fs::path function = target(at / "device"); !function.empty()) {
            fs::create_directories(to(function));
            name_link(function / "driver");
            make_link(fs::relative(to(function), to(at)), to(at / "device"));
        }
    }

    // Only its last part matters.
    void name_link(const fs::path &path)
    {
        std::error_code error;
        const fs::path leads = fs::read_symlink(from(path), error);
        if (!error)
            make_link(leads, to(path));
    }

    static void make_link(const fs::path &leads, const fs::path &path)
    {
        fs::create_directories(path.parent_path());
        fs::remove(path);
        fs::create_symlink(leads, path);
    }

    void text(const fs::path &path)
    {
        std::ifstream in(from(path), std::ios::binary);
        if (in)
            write(path, std::string(std::istreambuf_iterator<char>(in), {}));
    }

    void write(const fs::path &path, const std::string &content)
    {
        fs::create_directories(to(path).parent_path());
        std::ofstream out(to(path), std::ios::binary);
        out.write(content.data(), static_cast<std::streamsize>(content.size()));
        out.close();
        if (!out)
            throw fs::filesystem_error("cannot write", to(path), std::error_code(errno, std::generic_category()));
    }

    // Of a list of some ten megabytes, the lines that matter; one other, so that it is known to have been there.
    void symbols()
    {
        std::ifstream in(from("/proc/kallsyms"));
        std::string kept, line;
        while (std::getline(in, line))
            if (kept.empty() || line.contains("pci_p2pdma_distance"))
                kept += line + '\n';
        if (!kept.empty())
            write("/proc/kallsyms", kept);
    }

    std::string root_;
    fs::path to_;
};

} // namespace

Status save_tree(const std::string &root, const std::string &directory)
try {
    Saver(root, directory).save();
    return {};
} catch (const fs::filesystem_error &error) {
    return fail(ErrorCode::Internal, "save tree", std::format("{}: {}", error.path1().string(), error.code().message()),
                "name a directory that can be written", error.code().value());
}

} // namespace hl
