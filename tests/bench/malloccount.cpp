// SPDX-License-Identifier: LGPL-2.1-or-later

// An LD_PRELOAD library that counts heap allocations by call site, for `bench line`. While armed, each malloc, calloc,
// realloc and aligned_alloc is charged to the innermost frame of its stack that lies in libgsthabana.so; allocations
// with no such frame are not the plugin's. hl_malloc_report() writes one line a site: count, offset of the site in the
// library, and the symbol that the site called into.

#include <dlfcn.h>
#include <execinfo.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void hl_malloc_arm();
void hl_malloc_disarm();
void hl_malloc_report(FILE *out);
}

namespace {

struct Site {
    std::atomic<uintptr_t> inside{0}; // return address in libgsthabana.so
    std::atomic<uintptr_t> called{0}; // the frame just inside of it
    std::atomic<uint64_t> count{0};
};

constexpr size_t max_sites = 1024;
std::array<Site, max_sites> sites;
std::atomic<bool> armed{false};
std::atomic<uint64_t> lost{0};
uintptr_t library_begin = 0, library_end = 0;
thread_local bool inside_hook = false;

bool in_library(const void *address)
{
    const auto a = reinterpret_cast<uintptr_t>(address);
    return a >= library_begin && a < library_end;
}

// Open addressing; a slot belongs to the first site that claims it.
void charge(uintptr_t inside, uintptr_t called)
{
    const uintptr_t hash = (inside * 31 + called) * 0x9E3779B97F4A7C15ull;
    for (size_t probe = 0; probe < max_sites; ++probe) {
        Site &site = sites[(hash / max_sites + probe) % max_sites];
        uintptr_t expected = 0;
        if (site.inside.compare_exchange_strong(expected, inside))
            site.called.store(called);
        else if (expected != inside || site.called.load() != called)
            continue;
        site.count.fetch_add(1);
        return;
    }
    lost.fetch_add(1);
}

void note()
{
    if (!armed.load(std::memory_order_relaxed) || inside_hook)
        return;
    inside_hook = true;
    std::array<void *, 48> stack{};
    const int depth = backtrace(stack.data(), static_cast<int>(stack.size()));
    for (int i = 1; i < depth; ++i) {
        if (!in_library(stack[static_cast<size_t>(i)]))
            continue;
        charge(reinterpret_cast<uintptr_t>(stack[static_cast<size_t>(i)]),
               reinterpret_cast<uintptr_t>(stack[static_cast<size_t>(i - 1)]));
        break;
    }
    inside_hook = false;
}

// The mapped range of libgsthabana.so, all its segments.
void find_library()
{
    std::FILE *maps = std::fopen("/proc/self/maps", "re");
    char line[512];
    while (maps && std::fgets(line, sizeof line, maps)) {
        uintptr_t begin = 0, end = 0;
        if (!std::strstr(line, "libgsthabana.so") || std::sscanf(line, "%lx-%lx", &begin, &end) != 2)
            continue;
        if (library_begin == 0)
            library_begin = begin;
        library_end = end;
    }
    if (maps)
        std::fclose(maps);
}

const char *symbol_of(uintptr_t address)
{
    Dl_info info{};
    return dladdr(reinterpret_cast<void *>(address), &info) && info.dli_sname ? info.dli_sname : "?";
}

} // namespace

#define HL_EXPORT extern "C" __attribute__((visibility("default")))

HL_EXPORT void *malloc(size_t size)
{
    note();
    return __libc_malloc(size);
}

HL_EXPORT void *calloc(size_t n, size_t size)
{
    note();
    return __libc_calloc(n, size);
}

HL_EXPORT void *realloc(void *old, size_t size)
{
    note();
    return __libc_realloc(old, size);
}

HL_EXPORT void *aligned_alloc(size_t align, size_t size)
{
    note();
    return __libc_memalign(align, size);
}

HL_EXPORT void hl_malloc_arm()
{
    find_library();
    std::array<void *, 2> warm{};
    backtrace(warm.data(), 2); // loads the unwinder now, which allocates
    armed = true;
}

HL_EXPORT void hl_malloc_disarm()
{
    armed = false;
}

HL_EXPORT void hl_malloc_report(FILE *out)
{
    if (library_begin == 0)
        std::fputs("error libgsthabana.so is not loaded\n", out);
    if (lost.load() > 0)
        std::fputs("error more call sites than the table holds\n", out);
    for (const Site &site : sites)
        if (site.inside.load() != 0)
            std::fprintf(out, "%llu %lx %s\n", static_cast<unsigned long long>(site.count.load()),
                         site.inside.load() - library_begin, symbol_of(site.called.load()));
}
