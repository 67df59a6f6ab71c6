// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/backends.h"

#include "backends/kernel/kerneldevice.h"
#include "backends/sim/simdevice.h"

#include <array>

namespace hl {
namespace {

constexpr std::array<Backend, 2> table{{
    {.name = "sim",
     .takes = [](const DeviceSpec &spec) noexcept { return spec.kind == DeviceSpec::Kind::Sim; },
     .enumerate = [] { return std::vector{sim::SimDevice::list()}; },
     .open = [](const DeviceSpec &spec) { return sim::SimDevice::open(spec.name); }},
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
