// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/verdict.h"

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl {
namespace {

bool imported(const std::optional<ImportAttempt> &attempt)
{
    return attempt && attempt->sys_errno == 0 && !attempt->no_format && attempt->step != ImportStep::Buffer;
}

// Drivers that attach at import and map when a user first needs the frame: i915_gem_dmabuf.c, xe_dma_buf.c,
// amdgpu_dma_buf.c, virtgpu_prime.c.
bool maps_late(const Importer &importer)
{
    constexpr std::array late{"amdgpu", "i915", "virtio_gpu", "xe"};
    return std::ranges::find(late, importer.driver) != late.end();
}

// Says nothing about the memory: the same call may succeed a moment later.
bool transient(int err)
{
    return err == EBUSY || err == ENOMEM || err == EINTR || err == EAGAIN || err == EIO;
}

struct Finding {
    ImportAnswer answer;
    ImportCause cause;
};

constexpr Finding no(ImportCause cause)
{
    return {ImportAnswer::Refused, cause};
}

constexpr Finding unclear(ImportCause cause)
{
    return {ImportAnswer::Unknown, cause};
}

// videobuf2 answers a frame it cannot take with what its allocator found: dma-contig and dma-sg turn every map error
// into EINVAL and a scattered frame into EFAULT, vmalloc a missing kernel mapping into EFAULT (videobuf2-dma-contig.c
// vb2_dc_map_dmabuf, videobuf2-dma-sg.c vb2_dma_sg_map_dmabuf, videobuf2-vmalloc.c vb2_vmalloc_map_dmabuf). A driver's
// own memory operations pass the exporter's errno on. So EINVAL and EFAULT mean something only beside what host pages
// got, which every allocator can map.
Finding judge_queue(ImportMemory memory, int err, const std::optional<ImportAttempt> &pages)
{
    if (memory != ImportMemory::Device) {
        if (err == EFAULT)
            return no(ImportCause::NotContiguous);
        return no(err == EINVAL ? ImportCause::Format : ImportCause::Other);
    }
    const bool reached = pages && pages->step == ImportStep::Queue;
    const bool scattered = reached && pages->sys_errno == EFAULT;
    switch (err) {
    case EPERM:
    case EOPNOTSUPP:
        return no(ImportCause::NoPeerToPeer);
    case EINVAL:
        if (imported(pages) || scattered)
            return no(ImportCause::NoPeerToPeer);
        return no(reached && pages->sys_errno == EINVAL ? ImportCause::Format : ImportCause::Other);
    case EFAULT:
        if (imported(pages))
            return no(ImportCause::MapsByCpu);
        return no(scattered ? ImportCause::NotContiguous : ImportCause::Other);
    default:
        return no(ImportCause::Other);
    }
}

// Without a control that was imported, an errno does not tell a driver that takes no dma-buf at all from one that
// cannot take this one. drm_gem_dma_helper.c answers EINVAL to a scattered frame.
Finding judge_drm_import(ImportMemory memory, int err, const ImportAttempts &attempts)
{
    const auto took = [&](ImportMemory other) { return imported(attempts[static_cast<size_t>(other)]); };
    const bool took_host = took(ImportMemory::Pages) || took(ImportMemory::HugePages) || took(ImportMemory::HeapMiB);
    if (err == EACCES)
        return unclear(ImportCause::Permission);
    if (memory == ImportMemory::Device && (err == EPERM || took_host))
        return no(ImportCause::NoPeerToPeer);
    if (memory != ImportMemory::Device && err == EINVAL && took_host)
        return no(ImportCause::NotContiguous);
    const bool none = err == ENODEV || err == ENOSYS || err == EOPNOTSUPP;
    return no(none && !took_host ? ImportCause::NoDmabuf : ImportCause::Other);
}

Finding judge_setup(ImportStep step, int err)
{
    if (err == EACCES || err == EPERM)
        return unclear(ImportCause::Permission);
    if (step == ImportStep::Request && (err == EINVAL || err == ENOTTY))
        return no(ImportCause::NoDmabuf);
    return unclear(ImportCause::Other);
}

Finding judge_failure(ImportMemory memory, const ImportAttempt &attempt, const ImportAttempts &attempts)
{
    const int err = attempt.sys_errno;
    if (attempt.step == ImportStep::Buffer)
        return unclear(ImportCause::NoFrame);
    if (attempt.gone)
        return unclear(ImportCause::Gone);
    if (transient(err))
        return unclear(err == EBUSY ? ImportCause::Busy : ImportCause::Other);
    const auto &pages = attempts[static_cast<size_t>(ImportMemory::Pages)];
    switch (attempt.step) {
    case ImportStep::Buffer:
    case ImportStep::Format:
    case ImportStep::Request:
        return judge_setup(attempt.step, err);
    case ImportStep::Queue:
        if (err == EBADR) // videobuf2-core.c vb2_core_qbuf, before it looks at the frame
            return unclear(ImportCause::NeedsRequest);
        return attempt.dmabuf ? judge_queue(memory, err, pages) : no(ImportCause::NotADmabuf);
    case ImportStep::Import:
        return attempt.dmabuf ? judge_drm_import(memory, err, attempts) : no(ImportCause::NotADmabuf);
    case ImportStep::Framebuffer:
        return no(memory == ImportMemory::Device && imported(pages) ? ImportCause::NoPeerToPeer : ImportCause::Format);
    case ImportStep::Stream:
    case ImportStep::Dequeue:
    case ImportStep::Show:
        break; // an offer does not go so far
    }
    std::unreachable();
}

// Device memory is mapped by no driver that maps while it imports: those attach statically. What succeeds is an
// attachment, and the map comes with the first use.
Finding judge_success(const Importer &importer, ImportMemory memory, const ImportAttempt &attempt)
{
    const bool attached_only = importer.drm() && (memory == ImportMemory::Device ||
                                                  (attempt.step == ImportStep::Import && maps_late(importer)));
    return attached_only ? unclear(ImportCause::MapsLate) : Finding{ImportAnswer::Imports, ImportCause::None};
}

ImportProof proof_of(ImportStep step)
{
    switch (step) {
    case ImportStep::Queue:
        return ImportProof::Map;
    case ImportStep::Framebuffer:
        return ImportProof::Framebuffer;
    case ImportStep::Import:
        return ImportProof::Import;
    default:
        return ImportProof::None;
    }
}

std::string explain(const Importer &importer, ImportMemory memory, ImportCause cause, const ImportAttempt &attempt)
{
    const std::string &driver = importer.driver;
    const bool device = memory == ImportMemory::Device;
    switch (cause) {
    case ImportCause::None:
        return {};
    case ImportCause::NoPeerToPeer:
        return std::format("{} cannot reach device memory: the driver attaches dma-bufs without allowing peer-to-peer, "
                           "or no PCIe path leads there (user space cannot tell which; the kernel log may)",
                           driver);
    case ImportCause::MapsByCpu:
        return std::format("{} moves frames by CPU and needs a kernel mapping of them, which device memory has not",
                           driver);
    case ImportCause::NotContiguous:
        return std::format("{} takes one contiguous physical stretch only, and the frame lies in several", driver);
    case ImportCause::Format:
        if (attempt.no_format)
            return std::format("no plane of {} shows a pixel format that gst-habana has", driver);
        return importer.drm() ? std::format("{} makes no framebuffer of it in any of our formats", driver)
                              : std::format("{} refuses a frame of the size it asks for itself", driver);
    case ImportCause::NoDmabuf:
        return importer.drm() ? std::format("{} imports no dma-bufs of other drivers", driver)
                              : std::format("{} has no dma-buf import (VIDIOC_REQBUFS refuses DMABUF)", driver);
    case ImportCause::NotADmabuf:
        return "the simulator's device memory is no dma-buf: no driver can import it, a Gaudi's might be";
    case ImportCause::Permission:
        return std::format("{} was asked, and denies it to this process", driver);
    case ImportCause::Busy:
        return std::format("{} is in use: whether it imports was not tried", importer.node);
    case ImportCause::NoFrame:
        return attempt.buffer ? attempt.buffer->cause : std::string("no such frame could be made");
    case ImportCause::MapsLate:
        return std::format("{} accepted it, but maps it only when it is first used: that proves nothing{}", driver,
                           device ? " for device memory" : "");
    case ImportCause::Gone:
        return std::format("the device behind {} is gone", importer.node);
    case ImportCause::NeedsRequest:
        return std::format("{} takes frames with media requests only, as a stateless codec: not tried", driver);
    case ImportCause::Other:
        return std::format("{} failed with {}, which tells no cause", import_step_name(attempt.step),
                           errno_text(attempt.sys_errno));
    }
    std::unreachable();
}

// What a user of gst-habana can do; the line that works where this memory does not.
std::string advise(const Importer &importer, ImportMemory memory, ImportCause cause, const ImportAttempt &attempt)
{
    const std::string copied = copying_line(importer);
    switch (cause) {
    case ImportCause::None:
    case ImportCause::NotADmabuf:
        return {};
    case ImportCause::NoPeerToPeer:
    case ImportCause::MapsByCpu:
    case ImportCause::MapsLate:
        return memory == ImportMemory::Device ? "use host memory (memory=host, the default)" : std::string();
    case ImportCause::NotContiguous:
        if (memory == ImportMemory::Pages)
            return std::format("frames up to 2 MiB fit a huge page, see there; else {}", copied);
        return std::format("smaller frames, or {}", copied);
    case ImportCause::Format:
        return importer.drm() ? "choose another plane or format" : "set the format first (v4l2-ctl --set-fmt-video)";
    case ImportCause::NoDmabuf:
    case ImportCause::NeedsRequest:
    case ImportCause::Other:
        return copied;
    case ImportCause::Permission:
        // Who may not open the node is told so before anything is tried (identify_importer()).
        return "the node itself was open to this user: in a container, look at its security profile and capabilities; "
               "else see the kernel log";
    case ImportCause::Busy:
        return "stop what streams, and ask again";
    case ImportCause::NoFrame:
        return attempt.buffer ? attempt.buffer->remedy : std::string();
    case ImportCause::Gone:
        return "plug it in again";
    }
    std::unreachable();
}

} // namespace

std::string copying_line(const Importer &importer)
{
    switch (importer.kind) {
    case ImporterKind::Capture:
        return std::format("v4l2src device={} io-mode=mmap ! hlupload (one CPU copy a frame)", importer.node);
    case ImporterKind::Output:
        return std::format("hldownload ! v4l2sink device={} io-mode=mmap (one CPU copy a frame)", importer.node);
    case ImporterKind::M2mOutput:
        return "output-io-mode=mmap at the element that uses it (one CPU copy a frame)";
    case ImporterKind::M2mCapture:
        return "capture-io-mode=mmap at the element that uses it (one CPU copy a frame)";
    case ImporterKind::Display:
        return "kmssink copies such frames by CPU, without a word";
    case ImporterKind::Render:
        return {};
    }
    std::unreachable();
}

bool ImportAttempt::lasting() const noexcept
{
    return step >= ImportStep::Request && !gone && !transient(sys_errno);
}

std::optional<ImportVerdict> judge_import(const Importer &importer, ImportMemory memory, const ImportAttempts &attempts)
{
    const auto &attempt = attempts[static_cast<size_t>(memory)];
    if (!attempt)
        return std::nullopt;
    const Finding finding =
        imported(attempt) ? judge_success(importer, memory, *attempt) : judge_failure(memory, *attempt, attempts);
    ImportVerdict verdict{
        .answer = finding.answer, .cause = finding.cause, .step = attempt->step, .sys_errno = attempt->sys_errno};
    if (finding.answer == ImportAnswer::Imports)
        verdict.proof = proof_of(attempt->step);
    verdict.formats = attempt->formats;
    verdict.text = explain(importer, memory, finding.cause, *attempt);
    verdict.remedy = advise(importer, memory, finding.cause, *attempt);
    return verdict;
}

Error ImportVerdict::error(const Importer &importer) const
{
    return {.code = import_cause_code(cause).value_or(ErrorCode::Internal),
            .operation = std::string(import_step_name(step)),
            .sys_errno = sys_errno,
            .device = importer.node,
            .cause = text,
            .remedy = remedy};
}

std::string_view import_memory_name(ImportMemory memory) noexcept
{
    constexpr std::array<std::string_view, import_memories> names{"pages", "huge-pages", "heap", "heap-mib", "device"};
    return names[static_cast<size_t>(memory)];
}

std::string_view import_step_name(ImportStep step) noexcept
{
    constexpr std::array<std::string_view, 9> names{"make frame",      "VIDIOC_G_FMT",       "VIDIOC_REQBUFS",
                                                    "VIDIOC_QBUF",     "PRIME_FD_TO_HANDLE", "ADDFB2",
                                                    "VIDIOC_STREAMON", "VIDIOC_DQBUF",       "SETCRTC"};
    return names[static_cast<size_t>(step)];
}

std::string_view import_answer_name(ImportAnswer answer) noexcept
{
    constexpr std::array<std::string_view, 3> names{"imports", "refused", "unknown"};
    return names[static_cast<size_t>(answer)];
}

std::string_view import_cause_name(ImportCause cause) noexcept
{
    constexpr std::array<std::string_view, 14> names{
        "none", "no-peer-to-peer", "maps-by-cpu", "not-contiguous", "format", "no-dmabuf", "not-a-dmabuf", "permission",
        "busy", "no-frame",        "maps-late",   "needs-request",  "gone",   "other"};
    return names[static_cast<size_t>(cause)];
}

std::string_view import_proof_name(ImportProof proof) noexcept
{
    constexpr std::array<std::string_view, 5> names{"none", "map", "framebuffer", "import", "use"};
    return names[static_cast<size_t>(proof)];
}

std::optional<ErrorCode> import_cause_code(ImportCause cause) noexcept
{
    switch (cause) {
    case ImportCause::None:
        return std::nullopt;
    case ImportCause::NoPeerToPeer:
        return ErrorCode::ImportNoPeerToPeer;
    case ImportCause::MapsByCpu:
        return ErrorCode::ImportMapsByCpu;
    case ImportCause::NotContiguous:
        return ErrorCode::ImportNotContiguous;
    case ImportCause::Format:
        return ErrorCode::ImportFormat;
    case ImportCause::NoDmabuf:
        return ErrorCode::ImportNoDmabuf;
    case ImportCause::NotADmabuf:
        return ErrorCode::ImportSimulated;
    case ImportCause::Permission:
        return ErrorCode::ImporterPermission;
    case ImportCause::Busy:
        return ErrorCode::ImporterBusy;
    case ImportCause::NoFrame:
        return ErrorCode::ImportNoFrame;
    case ImportCause::MapsLate:
    case ImportCause::NeedsRequest:
    case ImportCause::Other:
        return ErrorCode::ImporterUnclear;
    case ImportCause::Gone:
        return ErrorCode::ImporterMissing;
    }
    return std::nullopt;
}

void explain_route(ImportVerdict &verdict, const Importer &importer, const PeerPath &path)
{
    if (path.route == PeerRoute::Unknown)
        return;
    if (path.reaches()) {
        verdict.text =
            std::format("{} attaches dma-bufs without allowing peer-to-peer, and so cannot reach device memory "
                        "although a way is there ({})",
                        importer.driver, path.text);
        verdict.remedy = "use host memory (memory=host), or a driver that imports dynamically (docs/zero-copy.md)";
        return;
    }
    verdict.text = std::format("{} cannot reach device memory: {}", importer.driver, path.text);
    if (!path.remedy.empty())
        verdict.remedy = path.remedy;
}

} // namespace hl
