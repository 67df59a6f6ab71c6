// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace hl {

// The stable error codes, one line each: enumerator, printed code, meaning. Codes are documented in
// docs/troubleshooting.md; a code is never reused for another meaning. New ones are appended to their group.
#define HL_ERROR_CODES(X)                                                                                              \
    X(DeviceNotFound, "HL-DEV-001", "no such device")                                                                  \
    X(DeviceBusy, "HL-DEV-002", "the device is owned by another process")                                              \
    X(DevicePermission, "HL-DEV-003", "no permission to open the device")                                              \
    X(DeviceLost, "HL-DEV-004", "the device was lost or reset")                                                        \
    X(DeviceSpec, "HL-DEV-005", "malformed device specification")                                                      \
    X(DeviceUnusable, "HL-DEV-006", "the device is present but cannot be opened")                                      \
    X(DeviceConfig, "HL-DEV-007", "malformed device setting or fault list")                                            \
    X(MemoryFull, "HL-MEM-001", "out of device memory")                                                                \
    X(MemoryRange, "HL-MEM-002", "size, offset or address not valid for this memory")                                  \
    X(MemoryStale, "HL-MEM-003", "the memory belongs to an earlier life of the device")                                \
    X(MemoryExport, "HL-MEM-004", "the memory could not be exported as a dma-buf")                                     \
    X(MemoryExported, "HL-MEM-005", "the memory is still exported")                                                    \
    X(MemoryHost, "HL-MEM-006", "host pages could not be allocated or pinned")                                         \
    X(FdLimit, "HL-MEM-007", "no file descriptor left")                                                                \
    X(MemoryForeign, "HL-MEM-008", "the memory is not known to this device")                                           \
    X(MemoryMapped, "HL-MEM-009", "the memory is mapped for writing by the CPU")                                       \
    X(CopyFailed, "HL-DMA-001", "a DMA copy failed")                                                                   \
    X(CopyTimeout, "HL-DMA-002", "a DMA copy did not finish in time")                                                  \
    X(FenceTimeout, "HL-DMA-003", "the readers of an exported frame did not finish in time")                           \
    X(ModelMissing, "HL-MOD-001", "the model file cannot be read")                                                     \
    X(ModelCorrupt, "HL-MOD-002", "the model file is not a valid model")                                               \
    X(ModelInfoMissing, "HL-MOD-003", "the model's tensors are not described")                                         \
    X(ModelInfoInvalid, "HL-MOD-004", "the model's description is not valid")                                          \
    X(ModelUnsupported, "HL-MOD-005", "the model has inputs or outputs that are not supported")                        \
    X(LabelsInvalid, "HL-MOD-006", "the label file does not fit the model")                                            \
    X(TensorShape, "HL-MOD-007", "the tensors are not what the decoder expects")                                       \
    X(ClassUnknown, "HL-MOD-008", "a class that was asked for is not one of the model's")                              \
    X(ModelDataOutside, "HL-MOD-009", "the model's data lies outside of its folder")                                   \
    X(ModelTooLarge, "HL-MOD-010", "the model is larger than can be loaded")                                           \
    X(SubmitFailed, "HL-INF-001", "an inference request was refused")                                                  \
    X(RunFailed, "HL-INF-002", "an inference request failed")                                                          \
    X(RunTimeout, "HL-INF-003", "an inference request did not finish in time")                                         \
    X(QueueFull, "HL-INF-004", "all requests are in flight")                                                           \
    X(Cancelled, "HL-INF-005", "the request was detached")                                                             \
    X(ComputeMissing, "HL-INF-006", "this device cannot run models")                                                   \
    X(FormatUnsupported, "HL-FMT-001", "the pixel format is not supported here")                                       \
    X(FrameTooSmall, "HL-FMT-002", "a frame's memory is smaller than its format needs")                                \
    X(FrameLayoutInvalid, "HL-FMT-003", "a frame's strides or offsets are not valid")                                  \
    X(FormatMissing, "HL-FMT-004", "a frame came before its format")                                                   \
    X(CopyRefused, "HL-CPY-001", "a CPU copy was needed where none is allowed")                                        \
    X(PoolReplaced, "HL-CPY-002", "a neighbour replaced the proposed buffer pool")                                     \
    X(ImporterMissing, "HL-IMP-001", "there is no such importer")                                                      \
    X(ImporterPermission, "HL-IMP-002", "no permission to use the importer")                                           \
    X(ImporterKindWrong, "HL-IMP-003", "the node imports no video frames")                                             \
    X(ImporterBusy, "HL-IMP-004", "the importer is in use")                                                            \
    X(ImporterUnclear, "HL-IMP-005", "it is not known whether the importer takes the memory")                          \
    X(ImportNoDmabuf, "HL-IMP-006", "the driver imports no dma-bufs")                                                  \
    X(ImportNoPeerToPeer, "HL-IMP-007", "the importer cannot reach device memory")                                     \
    X(ImportMapsByCpu, "HL-IMP-008", "the importer needs a CPU mapping, which device memory has not")                  \
    X(ImportNotContiguous, "HL-IMP-009", "the importer needs contiguous memory")                                       \
    X(ImportFormat, "HL-IMP-010", "the importer refuses the frame's format or size")                                   \
    X(ImportSimulated, "HL-IMP-011", "the simulator's device memory is no dma-buf")                                    \
    X(ImportNoFrame, "HL-IMP-012", "no frame could be made to try the importer with")                                  \
    X(SynapseMissing, "HL-SYN-001", "SynapseAI cannot be loaded")                                                      \
    X(SynapseVersion, "HL-SYN-002", "this release of SynapseAI is not supported")                                      \
    X(SynapseAbi, "HL-SYN-003", "SynapseAI's libraries have another interface")                                        \
    X(SynapseCall, "HL-SYN-004", "a call of SynapseAI failed")                                                         \
    X(SynapseHolder, "HL-SYN-005", "this process has another Gaudi through SynapseAI")                                 \
    X(RecipeRefused, "HL-SYN-006", "SynapseAI does not take the recipe")                                               \
    X(RecipeTensors, "HL-SYN-007", "the recipe's tensors are not bound to a frame")                                    \
    X(FileWrite, "HL-FIL-001", "a file cannot be written")                                                             \
    X(Internal, "HL-INT-001", "an invariant of this library was broken")

// What went wrong, as a machine may branch on it.
enum class ErrorCode {
#define HL_X(name, text, meaning) name,
    HL_ERROR_CODES(HL_X)
#undef HL_X
};

// The stable printed form, e.g. "HL-DEV-002". Never null, static storage.
[[nodiscard]] std::string_view error_code_name(ErrorCode code) noexcept;
// One short clause of plain words for the code. Static storage.
[[nodiscard]] std::string_view error_code_meaning(ErrorCode code) noexcept;

// One error, made where it is detected and shown once where work stops. `cause` says what happened to whom with
// figures; `remedy` says what the user can do.
struct Error {
    ErrorCode code = ErrorCode::Internal;
    std::string operation; // what was attempted, e.g. "export dma-buf"
    int sys_errno = 0;     // the kernel's word for it, 0 where there is none
    std::string device;    // DeviceInfo::name, empty where no device is involved
    std::string cause;
    std::string remedy;

    // "HL-MEM-001: <cause>" : the sentence for a user; the remedy is not part of it.
    [[nodiscard]] std::string headline() const;
    // operation, device, errno name and number and remedy in one line: the sentence for a log or a debug field.
    [[nodiscard]] std::string details() const;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

// Shorthand that keeps error sites on one line. errno is passed explicitly because anything between the failing call
// and here may overwrite it.
[[nodiscard]] std::unexpected<Error> fail(ErrorCode code, std::string operation, std::string cause,
                                          std::string remedy = {}, int sys_errno = 0, std::string device = {});

// "ENOMEM (12, Cannot allocate memory)"; "" for 0. Thread safe.
[[nodiscard]] std::string errno_text(int sys_errno);

} // namespace hl
