// SPDX-License-Identifier: LGPL-2.1-or-later

// The frames that importers are asked with, made of real memory.

#include "importers/importframe.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <span>

namespace {

constexpr size_t page = 4096;

class Mapping {
public:
    explicit Mapping(const hl::ImportFrame &frame)
        : data_(::mmap(nullptr, frame.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, frame.fd.get(), 0)), size_(frame.bytes)
    {}
    Mapping(const Mapping &) = delete;
    Mapping &operator=(const Mapping &) = delete;
    ~Mapping()
    {
        if (ok())
            ::munmap(data_, size_);
    }
    [[nodiscard]] bool ok() const { return data_ != MAP_FAILED; }
    [[nodiscard]] std::span<std::byte> page_at(size_t n) const
    {
        return {static_cast<std::byte *>(data_) + n * page, page};
    }

private:
    void *const data_;
    const size_t size_;
};

} // namespace

// Wherever the kernel found its pages, such a frame is no stretch.
TEST(ImportFrames, PagesComeTwice)
{
    for (const size_t pages : {2u, 3u, 38u, 85u}) {
        SCOPED_TRACE(pages);
        const auto frame = hl::make_import_frames_with(nullptr)(hl::ImportMemory::Pages, pages * page - 100);
        ASSERT_TRUE(frame) << frame.error().details();
        EXPECT_TRUE(frame->dmabuf);
        ASSERT_EQ(frame->bytes, pages * page);
        const Mapping mapping(*frame);
        ASSERT_TRUE(mapping.ok());
        const size_t half = (pages + 1) / 2;
        for (size_t n = 0; n < half; ++n)
            std::memset(mapping.page_at(n).data(), static_cast<int>(n + 1), page);
        for (size_t n = half; n < pages; ++n)
            EXPECT_EQ(std::memcmp(mapping.page_at(n).data(), mapping.page_at(n - half).data(), page), 0) << n;
    }
}

// Descriptors go to the udmabuf node, the memory and the frame in one piece; none is left for that in two.
TEST(ImportFrames, AFrameInOnePieceIsNoSubstitute)
{
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    const int next = ::dup(0);
    ASSERT_GE(next, 0);
    ::close(next);
    const rlimit tight{.rlim_cur = static_cast<rlim_t>(next) + 3, .rlim_max = limit.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
    const auto frame = hl::make_import_frames_with(nullptr)(hl::ImportMemory::Pages, 38 * page);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error().code, hl::ErrorCode::FdLimit) << frame.error().details();
    EXPECT_EQ(frame.error().operation, "make frame");
}
