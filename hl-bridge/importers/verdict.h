// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "importers/importer.h"
#include "importers/peerpath.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// Of what a frame offered to an importer is made.
enum class ImportMemory : uint8_t {
    Pages,     // host placement: base pages as a udmabuf
    HugePages, // host placement: huge pages as a udmabuf
    Heap,      // the system dma-heap, exact size; no Gaudi can pin it, it tells what the importer is like
    HeapMiB,   // the same, rounded up to whole MiB, which the heap makes of single chunks where it can
    Device,    // device placement
};
inline constexpr size_t import_memories = 5;
inline constexpr std::array all_import_memories{ImportMemory::Pages, ImportMemory::HugePages, ImportMemory::Heap,
                                                ImportMemory::HeapMiB, ImportMemory::Device};

// "pages", "huge-pages", "heap", "heap-mib", "device"
[[nodiscard]] std::string_view import_memory_name(ImportMemory memory) noexcept;

// The last thing an attempt did.
enum class ImportStep : uint8_t {
    Buffer,      // make the frame
    Format,      // VIDIOC_G_FMT
    Request,     // VIDIOC_REQBUFS
    Queue,       // VIDIOC_QBUF: attaches and maps
    Import,      // DRM_IOCTL_PRIME_FD_TO_HANDLE: attaches, and maps in some drivers
    Framebuffer, // DRM_IOCTL_MODE_ADDFB2
    Stream,      // VIDIOC_STREAMON; this and what follows: ImportProbe::use() only
    Dequeue,     // VIDIOC_DQBUF
    Show,        // DRM_IOCTL_MODE_SETCRTC
};
[[nodiscard]] std::string_view import_step_name(ImportStep step) noexcept;

// What happened when one frame was offered.
struct ImportAttempt {
    ImportStep step = ImportStep::Buffer;
    int sys_errno = 0;                // 0: `step` succeeded and was the last one there is
    bool dmabuf = true;               // the frame was a dma-buf (the simulator's device memory is none)
    bool gone = false;                // the node no longer answers
    bool no_format = false;           // Framebuffer: no plane shows one of our formats
    std::optional<Error> buffer;      // Buffer: why the frame could not be made
    std::vector<std::string> formats; // Framebuffer: those it made

    // The memory was taken or refused, by a call whose errno does not depend on the moment.
    [[nodiscard]] bool lasting() const noexcept;
};

// The attempts at one importer on one format, by ImportMemory; those not made are empty.
using ImportAttempts = std::array<std::optional<ImportAttempt>, import_memories>;

enum class ImportAnswer : uint8_t { Imports, Refused, Unknown };
[[nodiscard]] std::string_view import_answer_name(ImportAnswer answer) noexcept;

enum class ImportCause : uint8_t {
    None,          // it imports
    NoPeerToPeer,  // device memory: a static importer, or no PCIe path to it
    MapsByCpu,     // device memory: the driver writes by CPU and needs a kernel mapping
    NotContiguous, // the driver takes one physical stretch only
    Format,        // the driver refuses frames of its own format, or shows none of our formats
    NoDmabuf,      // the driver takes no (foreign) dma-bufs
    NotADmabuf,    // the frame was none: device memory of the simulator
    Permission,
    Busy,         // somebody streams
    NoFrame,      // no frame of this memory could be made here
    MapsLate,     // accepted, but mapped at first use only: nothing is proved
    NeedsRequest, // a stateless codec: frames go with media requests only
    Gone,         // unplugged
    Other,        // an errno that tells no cause
};
// "no-peer-to-peer", ...; stable, for programs.
[[nodiscard]] std::string_view import_cause_name(ImportCause cause) noexcept;
// The code of an error that carries this cause; None has none.
[[nodiscard]] std::optional<ErrorCode> import_cause_code(ImportCause cause) noexcept;

// What proved that an importer takes a memory.
enum class ImportProof : uint8_t {
    None,
    Map,         // the driver mapped it
    Framebuffer, // DRM made a framebuffer of it
    Import,      // DRM imported it; the node has no planes that could show it
    Use,         // the driver filled, read or showed it
};
[[nodiscard]] std::string_view import_proof_name(ImportProof proof) noexcept;

struct ImportVerdict {
    ImportAnswer answer = ImportAnswer::Unknown;
    ImportCause cause = ImportCause::Other;
    ImportProof proof = ImportProof::None;
    ImportStep step = ImportStep::Buffer;
    int sys_errno = 0;
    std::vector<std::string> formats; // proof Framebuffer: those that were made
    std::string text;                 // the cause in plain words; empty if it imports
    std::string remedy;               // what to do; may be empty

    // The same as an error. Not for one that imports.
    [[nodiscard]] Error error(const Importer &importer) const;
};

// Says of a verdict with the cause NoPeerToPeer which of its two reasons it is, now that the route is known.
void explain_route(ImportVerdict &verdict, const Importer &importer, const PeerPath &path);

// The start of a launch line that works with any driver, at the cost of a CPU copy a frame; empty where there is none.
[[nodiscard]] std::string copying_line(const Importer &importer);

// Judges one of the attempts; the others are the controls that tell causes with the same errno apart. Empty where that
// memory was not tried.
[[nodiscard]] std::optional<ImportVerdict> judge_import(const Importer &importer, ImportMemory memory,
                                                        const ImportAttempts &attempts);

} // namespace hl
