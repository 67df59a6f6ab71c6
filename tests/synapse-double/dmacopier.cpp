// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dmacopier.h"

#include "backends/kernel/packets.h"
#include "device/memory.h"

#include <array>
#include <chrono>
#include <utility>

namespace hl::dbl {
namespace {

// Upon which the driver resets the device; its default (module parameter timeout_locked).
constexpr std::chrono::seconds patience{30};

// uapi gaudi2.h: PDMA_0_0 and PDMA_1_0.
constexpr uint32_t down_queue = 0, up_queue = 4;

} // namespace

std::unique_ptr<Staging> Staging::create(kernel::Driver &driver, uint64_t bytes)
{
    auto pages = HostMemory::create(round_to_export_page(bytes));
    if (!pages)
        return nullptr;
    const auto address = driver.map_host(pages->span());
    if (!address)
        return nullptr;
    return std::unique_ptr<Staging>(new Staging(driver, std::move(*pages), *address));
}

Staging::Staging(kernel::Driver &driver, HostMemory pages, uint64_t address) noexcept
    : driver_(driver), pages_(std::move(pages)), address_(address)
{}

Staging::~Staging()
{
    (void)driver_.unmap(address_);
}

std::unique_ptr<DmaCopier> DmaCopier::create(kernel::Driver &driver)
{
    auto buffers = kernel::CommandBuffers::create(driver, kernel::ChipKind::Gaudi2, 1, "SynapseAI double");
    if (!buffers)
        return nullptr;
    return std::unique_ptr<DmaCopier>(new DmaCopier(driver, std::move(*buffers)));
}

DmaCopier::DmaCopier(kernel::Driver &driver, kernel::CommandBuffers buffers) noexcept
    : driver_(driver), buffers_(std::move(buffers))
{}

int DmaCopier::copy(uint64_t source, uint64_t target, uint64_t bytes, bool towards_host)
{
    kernel::CopyCutter rest({Move{.source = source, .target = target, .row_bytes = bytes}}, bytes ? 1 : 0);
    while (!rest.done()) {
        kernel::PacketWriter writer(kernel::ChipKind::Gaudi2, buffers_.bytes(0));
        while (writer.has_room() && !rest.done())
            writer.add(*rest.next());
        const auto sequence =
            driver_.submit(towards_host ? up_queue : down_queue, buffers_.filled(0, writer.finish()), patience);
        if (!sequence)
            return sequence.error();
        for (;;) {
            const auto ended = driver_.wait(*sequence, std::chrono::seconds(1));
            if (!ended)
                return ended.error();
            if (*ended)
                break;
        }
    }
    return 0;
}

} // namespace hl::dbl
