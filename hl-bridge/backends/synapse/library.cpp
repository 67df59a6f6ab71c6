// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/library.h"

#include <dlfcn.h>
#include <link.h>
#include <locale.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <utility>

namespace hl::synapse {
namespace {

namespace fs = std::filesystem;

constexpr const char *operation = "load SynapseAI";
constexpr const char *vendor_folder = "/usr/lib/habanalabs";
constexpr const char *runtime_name = "libSynapse.so";
constexpr std::array runtime_names{runtime_name, "libSynapse.so.1"}; // some images have the second alone
constexpr const char *scal_name = "libscal.so";
constexpr const char *missing_remedy =
    "install SynapseAI (the package habanalabs-graph), or set HL_SYNAPSE_DIR to the folder of libSynapse.so; "
    "HL_RUNTIME=kernel does without it";
constexpr const char *other_remedy = "install SynapseAI 1.18 or later of 1.x, or set HL_SYNAPSE_DIR to the folder of "
                                     "one; HL_RUNTIME=kernel does without it";

// What dlopen(3) made of the places a library may lie in.
struct Opened {
    void *handle = nullptr;
    std::string tried;   // "a: not there; b: ..."
    bool broken = false; // one was there and could not be loaded: later places were not looked at
};

// RTLD_LOCAL: its symbols are for us alone. Never closed: its threads, and what it registered with exit(3), go on.
void *open_library(const char *path)
{
    return ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

// dlerror(3) in the C locale: what it says is told apart below, and it translates.
std::string linker_error()
{
    const locale_t plain = ::newlocale(LC_ALL_MASK, "C", nullptr);
    const locale_t before = ::uselocale(plain);
    const char *const text = ::dlerror();
    std::string out = text ? text : "no reason is given";
    (void)::uselocale(before);
    if (plain)
        ::freelocale(plain);
    return out;
}

void note(Opened &opened, std::string_view text)
{
    opened.tried += std::format("{}{}", opened.tried.empty() ? "" : "; ", text);
}

bool try_folder(Opened &opened, const fs::path &folder, const char *name)
{
    const fs::path path = folder / name;
    if (::access(path.c_str(), F_OK) != 0) {
        note(opened, std::format("there is no {}", path.string()));
        return false;
    }
    opened.handle = open_library(path.c_str());
    if (!opened.handle) {
        note(opened, linker_error());
        opened.broken = true;
    }
    return true;
}

bool try_linker(Opened &opened, const char *name)
{
    opened.handle = open_library(name);
    if (opened.handle)
        return true;
    const std::string why = linker_error();
    // ld.so names the library itself where it found none of that name, and another where that one lacks something.
    opened.broken = !why.starts_with(std::format("{}: cannot open shared object file", name));
    note(opened, opened.broken ? why : std::format("the dynamic linker knows no {}", name));
    return opened.broken;
}

// At every place both names, before the next place.
Opened open_runtime()
{
    Opened opened;
    const char *folder = std::getenv("HL_SYNAPSE_DIR");
    const auto in_folder = [&opened](const char *where) {
        return std::ranges::any_of(runtime_names, [&](const char *name) { return try_folder(opened, where, name); });
    };
    if ((folder && *folder && in_folder(folder)) ||
        std::ranges::any_of(runtime_names, [&](const char *name) { return try_linker(opened, name); }))
        return opened;
    (void)in_folder(vendor_folder);
    return opened;
}

// The one that libSynapse.so itself uses: beside it, else by name.
Opened open_scal(const std::string &runtime_path)
{
    Opened opened;
    if (try_folder(opened, fs::path(runtime_path).parent_path(), scal_name))
        return opened;
    (void)try_linker(opened, scal_name);
    return opened;
}

std::string path_of(void *handle, const char *otherwise)
{
    link_map *map = nullptr;
    if (::dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void *>(&map)) != 0 || !map || !map->l_name || !*map->l_name)
        return otherwise;
    return map->l_name;
}

bool has(void *handle, const char *symbol)
{
    return ::dlsym(handle, symbol) != nullptr;
}

template <class Function>
void look_up(void *handle, const char *symbol, Function &function, std::string &missing)
{
    function = reinterpret_cast<Function>(::dlsym(handle, symbol));
    if (!function)
        missing += std::format("{}{}", missing.empty() ? "" : ", ", symbol);
}

// Of the archived SynapseAI Core (2021): synStreamCreate with a kind of stream, and tensors of five 32-bit sizes
// without an id (HabanaAI/SynapseAI_Core synapse_api.h, synapse_api_types.h).
bool is_of_2021(void *handle)
{
    return has(handle, "synStreamCreate") && !has(handle, "synStreamCreateGeneric");
}

Result<std::string> ask_version(void *handle, const std::string &path)
{
    abi::Status (*call)(char *, int) = nullptr;
    std::string missing;
    look_up(handle, "synDriverGetVersion", call, missing);
    if (!call)
        return fail(ErrorCode::SynapseAbi, operation,
                    std::format("{} has no synDriverGetVersion: it is no SynapseAI runtime", path), other_remedy);
    std::array<char, 256> text{};
    if (const abi::Status status = call(text.data(), static_cast<int>(text.size())); status != abi::success)
        return fail(ErrorCode::SynapseVersion, operation,
                    std::format("{} does not tell its release (status {})", path, std::to_underlying(status)),
                    other_remedy);
    text.back() = '\0';
    return std::string(text.data());
}

} // namespace

std::optional<Release> Release::parse(std::string_view text)
{
    const char *const end = text.data() + text.size();
    for (const char *at = text.data(); at != end;) {
        Release release;
        const auto major = std::from_chars(at, end, release.major);
        if (major.ec == std::errc{} && major.ptr != end && *major.ptr == '.' &&
            std::from_chars(major.ptr + 1, end, release.minor).ec == std::errc{})
            return release;
        at = major.ec == std::errc::invalid_argument ? at + 1 : major.ptr; // behind the number, or what is none
    }
    return std::nullopt;
}

Result<Library> Library::load()
{
    const Opened opened = open_runtime();
    if (!opened.handle)
        return fail(ErrorCode::SynapseMissing, operation,
                    std::format("{} cannot be loaded: {}", runtime_name, opened.tried), missing_remedy,
                    opened.broken ? ELIBBAD : ENOENT);
    Library library;
    library.path_ = path_of(opened.handle, runtime_name);
    if (is_of_2021(opened.handle))
        return fail(
            ErrorCode::SynapseAbi, operation,
            std::format("{} has the interface of 2021 (SynapseAI Core), whose structures are others", library.path_),
            other_remedy);
    auto version = ask_version(opened.handle, library.path_);
    if (!version)
        return std::unexpected(std::move(version.error()));
    library.version_ = std::move(*version);
    const auto release = Release::parse(library.version_);
    if (!release || release->major != oldest.major || *release < oldest)
        return fail(ErrorCode::SynapseVersion, operation,
                    std::format("{} is release \"{:.80}\", and {}.{} or later of {}.x is needed", library.path_,
                                library.version_, oldest.major, oldest.minor, oldest.major),
                    other_remedy);
    std::string missing;
#define HL_X(symbol, arguments) look_up(opened.handle, #symbol, library.calls_.symbol, missing);
    HL_SYNAPSE_CALLS(HL_X)
#undef HL_X
    if (!missing.empty())
        return fail(ErrorCode::SynapseAbi, operation,
                    std::format("{} (release \"{:.80}\") lacks {}", library.path_, library.version_, missing),
                    other_remedy);
    return library;
}

Result<abi::ScalCalls> Library::scal() const
{
    const Opened opened = open_scal(path_);
    if (!opened.handle)
        return fail(
            ErrorCode::SynapseMissing, operation, std::format("{} cannot be loaded: {}", scal_name, opened.tried),
            "libscal.so belongs beside libSynapse.so: install SynapseAI completely", opened.broken ? ELIBBAD : ENOENT);
    abi::ScalCalls calls;
    std::string missing;
#define HL_X(symbol, arguments) look_up(opened.handle, #symbol, calls.symbol, missing);
    HL_SCAL_CALLS(HL_X)
#undef HL_X
    if (!missing.empty())
        return fail(ErrorCode::SynapseAbi, operation,
                    std::format("{} lacks {}", path_of(opened.handle, scal_name), missing), other_remedy);
    return calls;
}

bool Library::is_double() const noexcept
{
    return version_.contains("SynapseAI double");
}

std::string Library::failure(std::string_view call, abi::Status status) const
{
    std::array<char, 256> text{};
    static_assert(text.size() >= abi::description_size);
    const bool told = calls_.synStatusGetBriefDescription &&
                      calls_.synStatusGetBriefDescription(status, text.data(), text.size()) == abi::success;
    text.back() = '\0';
    return std::format("{}: {} (status {})", call, told && text[0] ? text.data() : "no description",
                       std::to_underlying(status));
}

bool says_lost(abi::Status status) noexcept
{
    return status == abi::device_reset || status == abi::uninitialized || status == abi::synapse_terminated ||
           status == abi::assert_async;
}

} // namespace hl::synapse
