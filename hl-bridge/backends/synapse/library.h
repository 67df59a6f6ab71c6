// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/abi.h"
#include "core/error.h"

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace hl::synapse {

// "1.19" of "1.19.0-abc".
struct Release {
    unsigned major = 0;
    unsigned minor = 0;

    // The first two numbers with a dot between that a text has.
    [[nodiscard]] static std::optional<Release> parse(std::string_view text);

    friend auto operator<=>(const Release &, const Release &) = default;
};

// The vendor's runtime, loaded: libSynapse.so's functions, and libscal.so's when they are asked for. A value; what is
// loaded stays for the life of the process, as the runtime's threads do not end with it. Thread safe.
class Library {
public:
    // The oldest that has the functions and structures of abi.h as they are; those of another major number have others.
    static constexpr Release oldest{1, 18};

    // Looks in $HL_SYNAPSE_DIR, then where the dynamic linker looks, then in /usr/lib/habanalabs, and takes the first
    // libSynapse.so (or libSynapse.so.1) that is there. Nothing but synDriverGetVersion is called before the release is
    // known to be right. Errors: SynapseMissing (none there, or it cannot be loaded), SynapseVersion, SynapseAbi
    // (functions are missing, or it is that of 2021, which has the same names for other structures).
    [[nodiscard]] static Result<Library> load();

    [[nodiscard]] const abi::SynapseCalls *operator->() const noexcept { return &calls_; }
    // libscal.so of the same place. Errors: SynapseMissing, SynapseAbi.
    [[nodiscard]] Result<abi::ScalCalls> scal() const;

    [[nodiscard]] const std::string &path() const noexcept { return path_; }
    // As the runtime tells it.
    [[nodiscard]] const std::string &version() const noexcept { return version_; }
    // It says of itself that it is a test's double, whose figures are no Gaudi's.
    [[nodiscard]] bool is_double() const noexcept;

    // "synDeviceAcquire: Device already acquired (status 20)"
    [[nodiscard]] std::string failure(std::string_view call, abi::Status status) const;

private:
    abi::SynapseCalls calls_{};
    std::string path_;
    std::string version_;
};

// Whether a status says that the device is gone for this process.
[[nodiscard]] bool says_lost(abi::Status status) noexcept;

} // namespace hl::synapse
