// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>

namespace hl {

// Facts about an opened device; fixed for its life.
struct DeviceInfo {
    std::string name;         // for people and errors, e.g. "sim" or "sim:camera"; "accel0 (Gaudi2, 0000:4d:00.0)"
    std::string backend;      // "sim", "kernel", "synapse"
    std::string stand_in;     // what a figure from this device must name: "SIM", "EMU", "DBL" or "HW"
    std::string chip;         // "Gaudi2"
    std::string spec;         // the device specification that opens this one again
    uint64_t memory_size = 0; // bytes of HBM a user may allocate
    uint64_t page_size = 0;   // bytes of one device page: Gaudi2 768 MiB
    std::string caveat;       // what reports of it must say besides: "SynapseAI double: computes on the host"
    bool simulated = false;
    bool udmabuf = false; // host memory exports are udmabufs (else plain memfds, which no kernel importer takes)
};

} // namespace hl
