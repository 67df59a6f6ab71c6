// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/commandbuffers.h"

#include <cerrno>
#include <format>
#include <utility>

namespace hl::kernel {

Result<CommandBuffers> CommandBuffers::create(Driver &driver, ChipKind chip, size_t count, const std::string &device)
{
    constexpr const char *operation = "set up command buffers";
    const auto refuse = [&device](std::string cause, int err) {
        return fail(ErrorCode::MemoryHost, operation, std::move(cause), "see the errno and the kernel log", err,
                    device);
    };
    CommandBuffers buffers(driver);
    if (chip == ChipKind::Gaudi) {
        for (size_t i = 0; i < count; ++i) {
            auto buffer = driver.create_buffer(buffer_bytes);
            if (!buffer)
                return refuse("the driver made no command buffer", buffer.error());
            buffers.kernel_.push_back(*buffer);
        }
        return buffers;
    }
    auto pages = HostMemory::create(count * buffer_bytes);
    if (!pages) {
        pages.error().device = device;
        return std::unexpected(std::move(pages.error()));
    }
    const auto address = driver.map_host(pages->span());
    if (!address)
        return refuse(std::format("the device could not pin {} KiB for command buffers", (count * buffer_bytes) >> 10),
                      address.error());
    buffers.pages_ = std::move(*pages);
    buffers.address_ = *address;
    return buffers;
}

CommandBuffers::CommandBuffers(CommandBuffers &&other) noexcept
    : driver_(std::exchange(other.driver_, nullptr)), pages_(std::move(other.pages_)), address_(other.address_),
      kernel_(std::move(other.kernel_))
{}

CommandBuffers::~CommandBuffers()
{
    if (!driver_)
        return;
    for (const KernelBuffer &buffer : kernel_)
        driver_->destroy_buffer(buffer);
    if (address_ != 0)
        (void)driver_->unmap(address_); // refused after a loss, when the driver undoes all of it
}

std::span<std::byte> CommandBuffers::bytes(size_t index) const noexcept
{
    return kernel_.empty() ? pages_.span().subspan(index * buffer_bytes, buffer_bytes) : kernel_[index].bytes;
}

CommandBuffer CommandBuffers::filled(size_t index, uint32_t used) const noexcept
{
    if (kernel_.empty())
        return {.cb = address_ + index * buffer_bytes, .bytes = used, .user = true};
    return {.cb = kernel_[index].handle, .bytes = used, .user = false};
}

} // namespace hl::kernel
