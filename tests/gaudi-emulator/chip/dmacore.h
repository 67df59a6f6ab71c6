// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/dmaengine.h"
#include "chip/queuelayout.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"
#include "chip/resettable.h"
#include "chip/worker.h"

#include <atomic>
#include <cstdint>
#include <string>

namespace gaudiemu::chip {

// How the bytes of a DMA core whose registers lie in `page` travel.
[[nodiscard]] Initiator core_initiator(const RegisterFile &registers, const DmaCoreLayout &layout, uint32_t page,
                                       std::string name);

// A DMA core without its queue: the driver fills its registers and commits; completion is a message to the address that
// it gave, if it asked for one. A Gaudi2's KDMA is driven so (gaudi2.c gaudi2_send_job_to_kdma()), and a Gaudi's cores
// are when it scrubs its memory (gaudi.c gaudi_scrub_device_dram()).
class DmaCore final : public RegisterBlock, public Resettable {
public:
    struct Place {
        std::string name;
        uint32_t page = 0;
        uint16_t event = 0; // its error event
    };

    DmaCore(Place place, const DmaCoreLayout &layout, RegisterFile &registers, Fabric &fabric, DmaEngine &dma,
            ErrorReporter &errors, JobGate &gate, Worker &worker)
        : place_(std::move(place)), layout_(layout), registers_(registers), fabric_(fabric), dma_(dma), errors_(errors),
          gate_(gate), worker_(worker)
    {}

    void reset() override;

    [[nodiscard]] uint32_t read(uint32_t reg) override;
    void write(uint32_t reg, uint32_t value, Origin origin) override;

private:
    void commit(uint32_t value);
    [[nodiscard]] uint32_t load(uint32_t offset) const { return registers_.load(place_.page + offset); }
    [[nodiscard]] uint64_t load_pair(uint32_t lo, uint32_t hi) const
    {
        return registers_.load_pair(place_.page + lo, place_.page + hi);
    }

    const Place place_;
    const DmaCoreLayout layout_;
    RegisterFile &registers_;
    Fabric &fabric_;
    DmaEngine &dma_;
    ErrorReporter &errors_;
    JobGate &gate_;
    Worker &worker_;
    std::atomic<unsigned> jobs_ = 0; // committed and not done
};

} // namespace gaudiemu::chip
