// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzzreader.h"
#include "fuzztargets.h"
#include "importers/pcitree.h"
#include "tools/savedtree.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace hl::test {
namespace {

namespace fs = std::filesystem;

// A Gaudi below a switch's port, a camera beside them, as hl-doctor --save-tree leaves them.
constexpr const char *port = "sys/devices/pci0000:00/0000:00:01.0";
constexpr const char *gaudi = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0";
constexpr const char *camera = "sys/devices/pci0000:00/0000:00:02.0";

// Made once: only the files' contents are the fuzzer's.
class Tree {
public:
    Tree()
    {
        std::string name = (fs::temp_directory_path() / "hl-fuzz-tree-XXXXXX").string();
        require(::mkdtemp(name.data()) != nullptr);
        root_ = name;
        for (const char *const folder : {"proc", "sys/bus/pci/devices", "sys/kernel/iommu_groups/7", gaudi, camera})
            fs::create_directories(root_ / "saved" / folder);
        for (const char *const device : {port, gaudi, camera})
            fs::create_directory_symlink(root_ / "saved" / device,
                                         root_ / "saved/sys/bus/pci/devices" / fs::path(device).filename());
        fs::create_directory_symlink("../../../../kernel/iommu_groups/7", root_ / "saved" / gaudi / "iommu_group");
    }
    ~Tree()
    {
        std::error_code error;
        fs::remove_all(root_, error);
    }
    Tree(const Tree &) = delete;
    Tree &operator=(const Tree &) = delete;

    [[nodiscard]] std::string root() const { return root_ / "saved"; }
    [[nodiscard]] std::string copy() const { return root_ / "copy"; }
    void write(const fs::path &file, std::span<const std::byte> content) const
    {
        std::ofstream(root_ / "saved" / file, std::ios::binary)
            .write(reinterpret_cast<const char *>(content.data()), static_cast<std::streamsize>(content.size()));
    }

private:
    fs::path root_;
};

void require_sound(const PciFunction &function)
{
    require(function.address.size() == 12 && function.host_bridge == "pci0000:00");
    require(function.upstream.size() == (function.address == "0000:01:00.0" ? 1 : 0));
    require(!function.acs_control || function.config_known);
}

void require_equal(const PciFunction &a, const PciFunction &b)
{
    require(a.address == b.address && a.vendor == b.vendor && a.device == b.device && a.port == b.port &&
            a.host_bridge == b.host_bridge && a.upstream == b.upstream && a.bar_bytes == b.bar_bytes &&
            a.iommu == b.iommu && a.driver == b.driver && a.config_known == b.config_known &&
            a.acs_control == b.acs_control);
}

} // namespace

// Each file's size, then its content. What was read is sound, and a copy by save_tree() reads the same.
void fuzz_pcitree(std::span<const std::byte> input)
{
    static const Tree tree;
    FuzzReader in(input);
    for (const char *const device : {port, gaudi, camera})
        for (const char *const file : {"config", "resource", "class", "vendor"})
            tree.write(fs::path(device) / file, in.take_bytes(in.take<uint16_t>() % 4097));
    for (const char *const file : {"proc/cpuinfo", "proc/kallsyms", "sys/kernel/iommu_groups/7/type"})
        tree.write(file, in.take_bytes(in.take<uint16_t>()));

    const PciTree read = PciTree::read(tree.root());
    require(read.functions().size() == 3);
    for (const PciFunction &function : read.functions()) {
        require_sound(function);
        require(read.find(function.address) == &function);
    }
    const PciFunction *const bridge = read.host_bridge_device("pci0000:00");
    require(!bridge || bridge == &read.functions().front());

    fs::remove_all(tree.copy());
    require(save_tree(tree.root(), tree.copy()).has_value());
    const PciTree again = PciTree::read(tree.copy());
    require(again.functions().size() == read.functions().size() && again.trusted_cpu() == read.trusted_cpu() &&
            again.kernel_support() == read.kernel_support());
    for (size_t i = 0; i < again.functions().size(); ++i)
        require_equal(again.functions()[i], read.functions()[i]);
}

} // namespace hl::test
