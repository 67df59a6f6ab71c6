// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pcifunction.h"

namespace gaudiemu {

// The negative control of every test of a device: it has the identity and the BARs of another function and does
// nothing. Trapped reads give zero, writes are forgotten, no interrupt comes.
class NullFunction : public PciFunction {
public:
    // Of `model` only identity() and bars() are used; it must live as long as this.
    explicit NullFunction(const PciFunction &model) : model_(model) {}

    [[nodiscard]] ConfigSpaceInit identity() const override { return model_.identity(); }
    [[nodiscard]] std::span<const Bar> bars() const override { return model_.bars(); }
    [[nodiscard]] uint64_t read(unsigned bar, uint64_t offset, unsigned size) override;
    void write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
    void reset() override;

private:
    const PciFunction &model_;
};

} // namespace gaudiemu
