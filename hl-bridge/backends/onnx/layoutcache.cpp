// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/layoutcache.h"

#include "backends/onnx/ortsession.h"
#include "core/log.h"
#include "core/textfile.h"
#include "core/uniquefd.h"
#include "inference/boundedfile.h"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <format>
#include <fstream>

namespace hl {
namespace {

namespace fs = std::filesystem;

constexpr size_t max_cache_file = 64 * 1024;
constexpr int format_version = 2; // 1 was also written on loaded machines

constexpr uint64_t fnv_basis = 0xcbf29ce484222325u;

// FNV-1a over 8-byte words, the tail padded with zeros; for naming, not for security.
uint64_t mix(uint64_t hash, std::string_view bytes) noexcept
{
    constexpr uint64_t prime = 0x100000001b3u;
    for (size_t i = 0; i < bytes.size(); i += 8) {
        uint64_t word = 0;
        std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
        hash = (hash ^ word) * prime;
        hash ^= hash >> 29;
    }
    return hash;
}

std::string cpu_name()
{
    std::ifstream in("/proc/cpuinfo");
    std::string line;
    while (std::getline(in, line))
        if (line.starts_with("model name") || line.starts_with("CPU part"))
            return line.substr(std::min(line.find(':'), line.size() - 1) + 1);
    return "unknown";
}

// The cores this process may run on, "0-3,8": which ones matters where they differ or share a core's two threads.
std::string core_list()
{
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) != 0)
        return "unknown";
    std::string out;
    for (int first = 0; first < CPU_SETSIZE; ++first) {
        if (!CPU_ISSET(first, &set))
            continue;
        int last = first;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set))
            ++last;
        out += std::format("{}{}", out.empty() ? "" : ",", first);
        if (last > first)
            out += std::format("-{}", last);
        first = last;
    }
    return out;
}

fs::path cache_dir()
{
    // An XDG path that is not absolute is to be ignored (XDG base directory specification).
    if (const char *dir = std::getenv("XDG_CACHE_HOME"); dir && *dir == '/')
        return fs::path(dir) / "gst-habana";
    if (const char *home = std::getenv("HOME"); home && *home == '/')
        return fs::path(home) / ".cache" / "gst-habana";
    return {};
}

} // namespace

Result<uint64_t> hash_file(const std::string &path)
{
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string block(1 << 20, '\0');
    uint64_t hash = fnv_basis;
    uint64_t total = 0;
    while (fd) {
        const ssize_t n = ::read(fd.get(), block.data(), block.size());
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        if (n == 0)
            return mix(hash, std::to_string(total));
        hash = mix(hash, std::string_view(block).substr(0, static_cast<size_t>(n)));
        total += static_cast<uint64_t>(n);
    }
    const int e = errno;
    return fail(ErrorCode::ModelMissing, "load model", std::format("cannot read {}: {}", path, errno_text(e)),
                "check the path and its permissions", e);
}

unsigned usable_cores() noexcept
{
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return static_cast<unsigned>(std::max(CPU_COUNT(&set), 1));
}

LayoutCache::LayoutCache(uint64_t model_hash, std::string_view limits)
    : key_(std::format("model {:016x}; cpu{}; cores {}; ONNX Runtime {}; {}", model_hash, cpu_name(), core_list(),
                       OrtSession::version(), limits))
{
    if (const fs::path dir = cache_dir(); !dir.empty())
        path_ = (dir / std::format("layout-{:016x}.json", mix(fnv_basis, key_))).string();
}

std::optional<ComputeLayout> LayoutCache::load(const std::vector<ComputeLayout> &candidates) const
{
    if (path_.empty())
        return std::nullopt;
    const auto text =
        read_bounded_file(path_, max_cache_file, ErrorCode::ModelMissing, ErrorCode::ModelMissing, "layout cache");
    if (!text)
        return std::nullopt;
    const auto json = nlohmann::json::parse(*text, nullptr, false);
    const auto number = [&](const char *name) -> unsigned {
        const auto at = json.find(name);
        return at != json.end() && at->is_number_unsigned() ? at->get<unsigned>() : 0;
    };
    if (!json.is_object() || !json.contains("key") || json["key"] != key_ || number("version") != format_version)
        return std::nullopt;
    const ComputeLayout found{number("callers"), number("threads_per_caller")};
    if (std::ranges::find(candidates, found) == candidates.end())
        return std::nullopt;
    return found;
}

void LayoutCache::store(const ComputeLayout &choice, const std::vector<MeasuredLayout> &measured) const
{
    if (path_.empty())
        return;
    nlohmann::json json{{"version", format_version},
                        {"key", key_},
                        {"callers", choice.callers},
                        {"threads_per_caller", choice.threads},
                        {"measured", nlohmann::json::array()}};
    for (const MeasuredLayout &m : measured)
        json["measured"].push_back({{"callers", m.layout.callers},
                                    {"threads_per_caller", m.layout.threads},
                                    {"runs_per_second", m.per_second}});
    std::error_code error;
    fs::create_directories(fs::path(path_).parent_path(), error);
    if (const auto written = write_text_file(path_, json.dump(2) + "\n"); !written)
        log(LogLevel::Info, "onnx", "the layout is not remembered: " + written.error().details());
}

} // namespace hl
