// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/deviceinfo.h"
#include "device/hostsupport.h"
#include "importers/importjudge.h"
#include "tools/peerreport.h"
#include "tools/selftest.h"

#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace hl {

// A node about which nothing can be found out.
struct DoctorFailure {
    std::string node;
    Error error;
};

// What hl-doctor prints, as text for people and as JSON for programs (docs/hl-doctor.md describes both).
struct DoctorReport {
    // The exit status of hl-doctor.
    enum Exit : int {
        AllJudged = 0,
        NotJudged = 1, // busy, not permitted, unplugged, or no frame to try it with
        Usage = 2,
        NoImporter = 3,   // a node that was named is missing, or imports nothing
        Contradicted = 4, // the self-test shows that an answer is wrong
    };

    std::string root; // of a saved tree; empty: the running machine
    HostSupport host;
    std::expected<DeviceInfo, Error> device;
    std::vector<ImportFinding> findings;
    std::vector<ImportTrials> trials;    // of the self-test, one for each finding; else empty
    std::vector<DoctorFailure> failures; // nodes that were named, or may not be opened
    std::vector<std::string> others;     // nodes found that are no importers
    PeerReport peers;

    [[nodiscard]] Exit exit_status() const;
    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::string json() const;
};

} // namespace hl
