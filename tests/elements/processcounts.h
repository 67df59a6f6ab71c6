// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

// What the kernel counts of this process and this machine, for tests of what grows.
namespace hltest {

inline size_t entries(const char *directory)
{
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(directory), std::filesystem::directory_iterator()));
}

// With the one that counts.
inline size_t open_descriptors()
{
    return entries("/proc/self/fd");
}

inline size_t threads()
{
    return entries("/proc/self/task");
}

// The number behind the word `key` in a file of /proc.
inline uint64_t number_after(const char *file, const std::string &key)
{
    std::ifstream in(file);
    uint64_t value = 0;
    for (std::string word; in >> word;)
        if (word == key && in >> value)
            return value;
    ADD_FAILURE() << file << " has no " << key;
    return 0;
}

// Bytes of this process's own memory; host pages are shared memory and not among them.
inline uint64_t anonymous_bytes()
{
    return number_after("/proc/self/status", "RssAnon:") << 10;
}

} // namespace hltest
