// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

// Counts allocations of the calling thread, of libraries too. Include it in one source file of a program: it replaces
// the program's malloc, or hooks AddressSanitizer's.

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HL_TEST_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HL_TEST_SANITIZED 1
#endif

namespace hl::test {

inline thread_local uint64_t malloc_calls = 0;

#ifdef HL_TEST_SANITIZED
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                                         void (*free_hook)(const volatile void *));
inline const int malloc_hooked = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void *, size_t) { ++malloc_calls; }, [](const volatile void *) {});
#endif

// Allocations of this thread since it was made.
class MallocCount {
public:
    [[nodiscard]] uint64_t calls() const noexcept { return malloc_calls - start_; }

private:
    uint64_t start_ = malloc_calls;
};

} // namespace hl::test

#ifndef HL_TEST_SANITIZED
// glibc's own names for its allocator (malloc/malloc.c), which a replacement may call.
extern "C" {
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    ++hl::test::malloc_calls;
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    ++hl::test::malloc_calls;
    return __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t size)
{
    ++hl::test::malloc_calls;
    return __libc_realloc(block, size);
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size)
{
    ++hl::test::malloc_calls;
    return __libc_memalign(alignment, size);
}

__attribute__((visibility("default"))) int posix_memalign(void **block, size_t alignment, size_t size)
{
    ++hl::test::malloc_calls;
    *block = __libc_memalign(alignment, size);
    return *block != nullptr ? 0 : 12; // ENOMEM
}
}
#endif
