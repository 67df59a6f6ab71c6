// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/hostsupport.h"

#include "core/uniquefd.h"
#include "device/nodeaccess.h"

#include <fcntl.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <format>
#include <fstream>
#include <string_view>

namespace hl {
namespace {

namespace fs = std::filesystem;

std::optional<uint64_t> number_in(const fs::path &file)
{
    std::ifstream in(file);
    uint64_t value = 0;
    if (!(in >> value))
        return std::nullopt;
    return value;
}

// The node `path` of a tree below `root`.
SharingNode node_at(const std::string &root, const std::string &path, int flags)
{
    SharingNode node{.path = root + path};
    if (UniqueFd(::open(node.path.c_str(), flags | O_CLOEXEC)))
        return node;
    node.open_errno = errno;
    if (node.open_errno == ENOENT || node.open_errno == EACCES || node.open_errno == EPERM) {
        const NodeAccess access = NodeAccess::look(path, root, NodeUser::current(), flags == O_RDONLY ? 04 : 06);
        node.cause = access.cause(node.open_errno);
        node.remedy = access.remedy(node.open_errno);
    }
    return node;
}

std::vector<fs::path> entries(const fs::path &directory)
{
    std::error_code error;
    std::vector<fs::path> found;
    for (auto at = fs::directory_iterator(directory, error); !error && at != fs::directory_iterator();
         at.increment(error))
        found.push_back(at->path());
    std::ranges::sort(found);
    return found;
}

// "hugepages-2048kB"
std::optional<uint64_t> page_bytes_of(const std::string &name)
{
    constexpr std::string_view prefix = "hugepages-";
    uint64_t kib = 0;
    if (!name.starts_with(prefix))
        return std::nullopt;
    const char *first = name.data() + prefix.size();
    const auto [end, error] = std::from_chars(first, name.data() + name.size(), kib);
    if (error != std::errc() || std::string_view(end) != "kB")
        return std::nullopt;
    return kib << 10;
}

std::string kernel_name()
{
    utsname name{};
    if (::uname(&name) < 0)
        return "unknown";
    return std::format("{} {} {}", name.sysname, name.release, name.machine);
}

} // namespace

HostSupport HostSupport::read(const std::string &root)
{
    HostSupport out{.kernel = kernel_name(), .udmabuf = node_at(root, "/dev/udmabuf", O_RDWR)};
    if (const auto mib = number_in(root + "/sys/module/udmabuf/parameters/size_limit_mb"))
        out.udmabuf_limit = *mib << 20;
    for (const fs::path &heap : entries(root + "/dev/dma_heap"))
        out.heaps.push_back(node_at(root, "/dev/dma_heap/" + heap.filename().string(), O_RDONLY));
    for (const fs::path &pool : entries(root + "/sys/kernel/mm/hugepages")) {
        const auto bytes = page_bytes_of(pool.filename().string());
        if (!bytes)
            continue;
        const uint64_t free = number_in(pool / "free_hugepages").value_or(0);
        const uint64_t promised = number_in(pool / "resv_hugepages").value_or(0);
        out.huge_pages.push_back({.page_bytes = *bytes,
                                  .total = number_in(pool / "nr_hugepages").value_or(0),
                                  .free = free - std::min(free, promised)});
    }
    std::ranges::sort(out.huge_pages, {}, &HugePagePool::page_bytes);
    return out;
}

HugePagePool HostSupport::pool_of(uint64_t page_bytes) const noexcept
{
    const auto at = std::ranges::find(huge_pages, page_bytes, &HugePagePool::page_bytes);
    return at == huge_pages.end() ? HugePagePool{.page_bytes = page_bytes} : *at;
}

} // namespace hl
