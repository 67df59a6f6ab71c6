// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/backends.h"

#include "backends/kernel/kerneldevice.h"
#include "backends/sim/simdevice.h"
#include "backends/synapse/synapsedevice.h"

#include <array>

namespace hl {
namespace {

// Asked in this order. One chip, one backend: what SynapseAI opens is not the kernel backend's as well.
constexpr std::array<Backend, 3> table{{
    {.name = "sim",
     .takes = [](const DeviceSpec &spec) noexcept { return spec.kind == DeviceSpec::Kind::Sim; },
     .enumerate = [] { return std::vector{sim::SimDevice::list()}; },
     .open = [](const DeviceSpec &spec) { return sim::SimDevice::open(spec.name); }},
    // The kernel backend lists the chips: whether they are to be reached through SynapseAI is known when one is opened.
    {.name = "synapse",
     .takes =
         [](const DeviceSpec &spec) noexcept {
             return spec.kind == DeviceSpec::Kind::Pci &&
                    (spec.runtime == DeviceSpec::Runtime::Synapse ||
                     (spec.runtime == DeviceSpec::Runtime::Any && synapse::SynapseDevice::usable()));
         },
     .enumerate = [] { return std::vector<DeviceListing>(); },
     .open = [](const DeviceSpec &spec) { return synapse::SynapseDevice::open(spec.name); }},
    {.name = "kernel",
     .takes = [](const DeviceSpec &spec) noexcept { return spec.kind == DeviceSpec::Kind::Pci; },
     .enumerate = [] { return kernel::KernelDevice::enumerate(); },
     .open = [](const DeviceSpec &spec) { return kernel::KernelDevice::open(spec.name); }},
}};

} // namespace

std::span<const Backend> backends() noexcept
{
    return table;
}

} // namespace hl
