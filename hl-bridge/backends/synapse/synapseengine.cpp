// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/synapseengine.h"

#include "backends/synapse/recipe.h"
#include "backends/synapse/streamqueue.h"
#include "core/log.h"
#include "core/stragglers.h"
#include "core/text.h"
#include "inference/boundedfile.h"
#include "inference/datafile.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <format>
#include <optional>
#include <utility>
#include <vector>

namespace hl::synapse {
namespace {

constexpr const char *load = "load model";
constexpr const char *submission = "submit inference";
constexpr StreamQueue::Kind kind{
    .operation = "run inference", .what = "launch", .failed = ErrorCode::RunFailed, .late = ErrorCode::RunTimeout};
constexpr uint64_t output_alignment = 64; // EngineTensor::offset
constexpr const char *room_remedy =
    "give frames less memory with HL_SYNAPSE_POOL_MB, load fewer models, or compile a smaller one";

// More than any chip has, and little enough to be rounded up and added to.
constexpr uint64_t most_workspace = uint64_t{1} << 48;

uint64_t aligned(uint64_t bytes, uint64_t alignment) noexcept
{
    return (bytes + alignment - 1) / alignment * alignment;
}

// Rounded up.
uint64_t mebibytes(uint64_t bytes) noexcept
{
    return (bytes >> 20) + (bytes % (1 << 20) != 0);
}

std::string format_text(const FrameFormat &format)
{
    return std::format("{}x{} {}", format.width, format.height, pixel_format_info(format.format).name);
}

// Device memory of one session, freed before that goes.
class DeviceBlocks {
public:
    explicit DeviceBlocks(std::shared_ptr<Session> session) noexcept : session_(std::move(session)) {}
    DeviceBlocks(const DeviceBlocks &) = delete;
    DeviceBlocks &operator=(const DeviceBlocks &) = delete;
    ~DeviceBlocks()
    {
        for (const uint64_t address : blocks_)
            session_->free(address);
    }

    [[nodiscard]] std::optional<uint64_t> allocate(uint64_t bytes)
    {
        const auto address = session_->allocate(bytes);
        if (address)
            blocks_.push_back(*address);
        return address;
    }
    [[nodiscard]] uint64_t free_bytes() const { return session_->free_bytes(); }

private:
    const std::shared_ptr<Session> session_;
    std::vector<uint64_t> blocks_;
};

// What an engine has of a session.
struct Loaded {
    Loaded(std::shared_ptr<Session> session, Recipe loaded_recipe) noexcept
        : blocks(std::move(session)), recipe(std::move(loaded_recipe))
    {}

    DeviceBlocks blocks;
    Recipe recipe; // goes first: the session's end may be SynapseAI's, and a recipe goes before that
};

// Pages that are copied to the device once.
class Upload final : public StreamWork {
public:
    Upload(uint64_t source, uint64_t target, uint64_t bytes) noexcept : source_(source), target_(target), bytes_(bytes)
    {}

    std::optional<CallFailure> issue(const Session &session, abi::StreamHandle stream) override
    {
        const abi::Status status =
            session.library()->synMemCopyAsync(stream, source_, bytes_, target_, abi::host_to_dram);
        return status == abi::success ? std::nullopt : std::optional(CallFailure{"synMemCopyAsync", status});
    }
    void ended(Completion completion) noexcept override { waiter_.completed(std::move(completion)); }
    [[nodiscard]] Status wait() { return *waiter_.wait(); }

private:
    const uint64_t source_, target_, bytes_;
    CompletionWaiter waiter_;
};

} // namespace

// Everything below `chip_` is guarded by the chip's mutex, or fixed once the engine is made.
class SynapseEngine::Core {
public:
    Core(std::shared_ptr<Device> device, std::shared_ptr<Chip> chip, uint32_t generation,
         std::shared_ptr<Session> session, Recipe recipe, RecipeBinding binding)
        : device_(std::move(device)), chip_(std::move(chip)), generation_(generation), binding_(std::move(binding)),
          loaded_(std::make_unique<Loaded>(std::move(session), std::move(recipe))),
          queue_(chip_, generation, kind, [this] { loaded_.reset(); })
    {}

    // Before the worker runs: memory in HBM, and what is to go there.
    [[nodiscard]] Status prepare(const Model &model, const EngineOptions &options);
    // Once it runs: data that no frame has, into HBM, by the engine's own stream.
    [[nodiscard]] Status upload_files();
    [[nodiscard]] const EngineInfo &info() const noexcept { return info_; }
    [[nodiscard]] Chip &chip() const noexcept { return *chip_; }
    [[nodiscard]] Result<FrameTransform> configure(const FrameFormat &format) const;
    [[nodiscard]] Status submit(std::span<const InferRequest> requests, CompletionListener &listener);
    void work() { queue_.work(); }
    void close() { queue_.close(); }

private:
    // One request's place: its workspace and outputs, and what it launches.
    struct Slot final : StreamWork {
        explicit Slot(Core &owner) noexcept : core(owner) {}

        std::optional<CallFailure> issue(const Session &session, abi::StreamHandle stream) override;
        void ended(Completion completion) noexcept override { core.finish(*this, std::move(completion)); }

        Core &core;
        uint64_t workspace = 0;
        std::vector<abi::LaunchTensor> tensors; // in the recipe's order
        uint64_t id = 0;
        CompletionListener *listener = nullptr;
        uint64_t output = 0; // the CPU's address of the request's
        std::array<Allocation *, max_planes + 1> held{};
        size_t memories = 0;
        bool refused = false; // the recipe, at the launch
    };

    // What a file holds for a tensor, on its way to the device.
    struct FileData {
        OwnedMemory pages;
        size_t tensor = 0;   // of the recipe's
        uint64_t source = 0; // the CPU's address
        uint64_t target = 0; // the device's
        uint64_t bytes = 0;
    };

    void describe(const Model &model);
    [[nodiscard]] Status prepare_file(const Model &model, const RecipeBinding::File &file);
    [[nodiscard]] std::vector<abi::LaunchTensor> launch_tensors() const;
    [[nodiscard]] bool add_slot();
    [[nodiscard]] Status check(const Chip::Lock &lock, const InferRequest &request, Slot &slot) const;
    [[nodiscard]] Status check_frame(const FrameLayout &frame, const Rect &region) const;
    void finish(Slot &slot, Completion completion) noexcept;
    [[nodiscard]] std::unexpected<Error> refuse(ErrorCode code, const char *operation, std::string cause,
                                                std::string remedy, int sys_errno = 0) const
    {
        return fail(code, operation, std::move(cause), std::move(remedy), sys_errno, chip_->name());
    }

    const std::shared_ptr<Device> device_;
    const std::shared_ptr<Chip> chip_;
    const uint32_t generation_;
    const RecipeBinding binding_;
    EngineInfo info_;
    std::vector<FileData> files_;    // until they are uploaded
    std::unique_ptr<Loaded> loaded_; // until the session is lost; the worker's, once that runs
    std::vector<std::unique_ptr<Slot>> slots_;
    std::vector<Slot *> free_; // never grows
    StreamQueue queue_;
};

// --- loading ---

void SynapseEngine::Core::describe(const Model &model)
{
    const std::string &caveat = device_->info().caveat;
    info_.name = caveat.empty() ? "synapse" : caveat;
    info_.model = model.name;
    info_.group_id = model.info ? model.info->group_id : "";
    info_.labels = model.labels;
    info_.input = InputKind::RawPlanes;
    info_.reads_device = true;
    info_.preprocess = PreprocessPlace::InModel;
    info_.layout_source = "fixed";
    size_t input = 0;
    for (const RecipeTensor &tensor : loaded_->recipe.tensors())
        if (tensor.input)
            info_.inputs.push_back({.info = binding_.inputs[input++], .offset = 0, .bytes = tensor.bytes()});
    for (const RecipeBinding::Output &output : binding_.outputs) {
        const uint64_t offset = aligned(info_.output_bytes, output_alignment);
        const uint64_t bytes = loaded_->recipe.tensors()[output.tensor].bytes();
        info_.outputs.push_back({.info = output.info, .offset = offset, .bytes = bytes});
        info_.output_bytes = offset + bytes;
    }
}

std::vector<abi::LaunchTensor> SynapseEngine::Core::launch_tensors() const
{
    std::vector<abi::LaunchTensor> out;
    for (const RecipeTensor &tensor : loaded_->recipe.tensors()) {
        abi::LaunchTensor launch{};
        launch.name = tensor.name.c_str();
        launch.type = tensor.kind;
        launch.id = tensor.id;
        std::ranges::copy(tensor.dims, launch.size);
        out.push_back(launch);
    }
    return out;
}

// FALSE: no memory is left for another one.
bool SynapseEngine::Core::add_slot()
{
    if (loaded_->recipe.workspace() > most_workspace)
        return false;
    uint64_t bytes = aligned(loaded_->recipe.workspace(), abi::malloc_alignment);
    for (const RecipeBinding::Output &output : binding_.outputs)
        bytes += aligned(loaded_->recipe.tensors()[output.tensor].bytes(), abi::malloc_alignment);
    auto slot = std::make_unique<Slot>(*this);
    slot->tensors = launch_tensors();
    if (bytes > 0) {
        const auto block = loaded_->blocks.allocate(bytes);
        if (!block)
            return false;
        slot->workspace = loaded_->recipe.workspace() > 0 ? *block : 0;
        uint64_t next = *block + aligned(loaded_->recipe.workspace(), abi::malloc_alignment);
        for (const RecipeBinding::Output &output : binding_.outputs) {
            slot->tensors[output.tensor].address = next;
            next += aligned(loaded_->recipe.tensors()[output.tensor].bytes(), abi::malloc_alignment);
        }
    }
    free_.push_back(slot.get());
    slots_.push_back(std::move(slot));
    return true;
}

Status SynapseEngine::Core::prepare(const Model &model, const EngineOptions &options)
{
    describe(model);
    // Before the requests' places, which take what is left.
    for (const RecipeBinding::File &file : binding_.files)
        if (auto ready = prepare_file(model, file); !ready)
            return ready;
    const unsigned wanted = options.in_flight > 0 ? std::min(options.in_flight, most_in_flight) : usual_in_flight;
    while (slots_.size() < wanted && add_slot())
        ;
    if (slots_.empty())
        return refuse(
            ErrorCode::MemoryFull, load,
            std::format("{} works in {} MiB of HBM and writes {} KiB of outputs, and beside the frames {} MiB "
                        "are free",
                        model.name, mebibytes(loaded_->recipe.workspace()), (info_.output_bytes + 1023) >> 10,
                        loaded_->blocks.free_bytes() >> 20),
            room_remedy, ENOMEM);
    if (slots_.size() < wanted)
        log(LogLevel::Info, "synapse",
            std::format("{}: HBM has room for {} of {} requests in flight", model.name, slots_.size(), wanted));
    info_.in_flight = static_cast<unsigned>(slots_.size());
    for (const auto &slot : slots_)
        for (const FileData &file : files_)
            slot->tensors[file.tensor].address = file.target;
    return {};
}

Status SynapseEngine::Core::prepare_file(const Model &model, const RecipeBinding::File &file)
{
    const RecipeTensor &tensor = loaded_->recipe.tensors()[file.tensor];
    const uint64_t bytes = tensor.bytes();
    const auto path = find_data_file(model.info_path, file.location);
    if (!path)
        return std::unexpected(path.error());
    const auto data = read_bounded_file(*path, bytes, ErrorCode::ModelMissing, ErrorCode::ModelCorrupt,
                                        std::format("data file of tensor {}", shown(tensor.name)));
    if (!data)
        return std::unexpected(data.error());
    if (data->size() != bytes)
        return refuse(
            ErrorCode::ModelCorrupt, load,
            std::format("{} has {} bytes, and tensor {} has {}", shown(*path, 200), data->size(), tensor.text(), bytes),
            "write the tensor's bytes into the file as they are to lie in memory");
    auto pages = OwnedMemory::allocate(device_, bytes, Placement::Host);
    if (!pages)
        return std::unexpected(std::move(pages.error()));
    const auto span = device_->host_span(pages->get());
    if (!span)
        return std::unexpected(span.error());
    std::memcpy(span->data(), data->data(), bytes);
    const auto block = loaded_->blocks.allocate(bytes);
    if (!block)
        return refuse(ErrorCode::MemoryFull, load, std::format("{} does not fit into HBM", tensor.text()), room_remedy,
                      ENOMEM);
    files_.push_back({.pages = std::move(*pages),
                      .tensor = file.tensor,
                      .source = reinterpret_cast<uintptr_t>(span->data()),
                      .target = *block,
                      .bytes = bytes});
    return {};
}

Status SynapseEngine::Core::upload_files()
{
    for (const FileData &file : std::exchange(files_, {})) {
        Upload upload(file.source, file.target, file.bytes);
        upload.generation = generation_;
        {
            const auto lock = chip_->lock();
            queue_.push(lock, upload);
        }
        if (auto done = upload.wait(); !done)
            return done;
    }
    return {};
}

Result<std::shared_ptr<Engine>> SynapseEngine::create(std::shared_ptr<Device> device, std::shared_ptr<Chip> chip,
                                                      const Model &model, const EngineOptions &options)
{
    if (std::filesystem::path(model.path).extension() != ".recipe")
        return fail(
            ErrorCode::ModelUnsupported, load,
            std::format("{} is no recipe, and a Gaudi runs nothing else", model.name),
            "compile the model with SynapseAI into a .recipe file; compute=host runs an .onnx model on the CPU, "
            "with a counted read-back of each frame that lies in HBM",
            ENOTSUP, chip->name());
    std::shared_ptr<Session> session;
    uint32_t generation = 0;
    {
        const auto lock = chip->lock();
        if (auto alive = chip->check_alive(lock, load); !alive)
            return std::unexpected(std::move(alive.error()));
        session = chip->session(lock);
        generation = chip->generation(lock);
    }
    auto recipe = Recipe::load(session->library(), model, chip->name());
    if (!recipe)
        return std::unexpected(std::move(recipe.error()));
    auto binding = bind_recipe(recipe->tensors(), model);
    if (!binding) {
        binding.error().device = chip->name();
        return std::unexpected(std::move(binding.error()));
    }
    auto core = std::make_shared<Core>(std::move(device), std::move(chip), generation, std::move(session),
                                       std::move(*recipe), std::move(*binding));
    if (auto ready = core->prepare(model, options); !ready) {
        const auto lock = core->chip().lock();
        if (generation != core->chip().generation(lock)) // a device that is gone has no memory either
            return std::unexpected(core->chip().lost_error(load));
        return std::unexpected(std::move(ready.error()));
    }
    std::shared_ptr<SynapseEngine> engine;
    try {
        engine.reset(new SynapseEngine(core)); // its thread runs
    } catch (const std::system_error &error) {
        return no_thread(load, error, core->chip().name());
    }
    if (auto loaded = core->upload_files(); !loaded)
        return std::unexpected(std::move(loaded.error()));
    return engine;
}

// --- the engine ---

SynapseEngine::SynapseEngine(std::shared_ptr<Core> core)
    : core_(std::move(core)), worker_([core = core_] { core->work(); })
{}

SynapseEngine::~SynapseEngine()
{
    core_->close();
    // The worker may be waiting to deliver while this thread does.
    if (core_->chip().delivery().delivering_here() || worker_.get_id() == std::this_thread::get_id()) {
        std::vector<std::thread> waiting;
        waiting.push_back(std::move(worker_));
        join_elsewhere(std::move(waiting));
    } else {
        worker_.join();
    }
}

const EngineInfo &SynapseEngine::info() const noexcept
{
    return core_->info();
}

Result<FrameTransform> SynapseEngine::configure(const FrameFormat &format)
{
    return core_->configure(format);
}

Status SynapseEngine::submit(std::span<const InferRequest> requests, CompletionListener &listener)
{
    return core_->submit(requests, listener);
}

Result<FrameTransform> SynapseEngine::Core::configure(const FrameFormat &format) const
{
    const FrameFormat &want = binding_.frame;
    if (format.format == want.format && format.width == want.width && format.height == want.height)
        return FrameTransform{};
    return refuse(ErrorCode::FormatUnsupported, "configure engine",
                  std::format("{} reads the planes of {} frames as they lie, these are {}", info_.model,
                              format_text(want), format_text(format)),
                  std::format("put videoconvertscale and caps video/x-raw,format={},width={},height={} before it",
                              pixel_format_info(want.format).name, want.width, want.height));
}

// --- submission ---

Status SynapseEngine::Core::check_frame(const FrameLayout &frame, const Rect &region) const
{
    const FrameFormat &format = frame.format;
    const FrameFormat &want = binding_.frame;
    if (format.format != want.format || format.width != want.width || format.height != want.height)
        return refuse(
            ErrorCode::SubmitFailed, submission,
            std::format("{} takes {} frames, this one is {}", info_.model, format_text(want), format_text(format)),
            "configure the engine for the frames' format", EINVAL);
    if (auto valid = validate(frame); !valid)
        return valid;
    if (frame.placement() != Placement::Device)
        return refuse(ErrorCode::SubmitFailed, submission,
                      "the frame lies in host memory, which this engine does not reach", "transfer the frame first",
                      EINVAL);
    if (region.width != 0 && region != Rect{0, 0, format.width, format.height})
        return refuse(ErrorCode::SubmitFailed, submission,
                      info_.model + " reads whole planes, a part of the frame cannot be chosen", "remove the region",
                      EINVAL);
    for (const RecipeBinding::Plane &bound : binding_.planes)
        if (const uint32_t row = plane_row_bytes(format, bound.plane); frame.plane[bound.plane].stride != row)
            return refuse(ErrorCode::FrameLayoutInvalid, submission,
                          std::format("{} reads planes as they lie and needs a stride of {} bytes in plane {}, the "
                                      "frame's is {}",
                                      info_.model, row, bound.plane, frame.plane[bound.plane].stride),
                          "let the producer write into hlinfer's or hlupload's pool without padding, or choose a "
                          "width that needs none",
                          EINVAL);
    return {};
}

Status SynapseEngine::Core::check(const Chip::Lock &lock, const InferRequest &request, Slot &slot) const
{
    if (auto good = check_frame(request.frame, request.region); !good)
        return good;
    slot.memories = 0;
    for (const RecipeBinding::Plane &bound : binding_.planes) {
        const PlaneLayout &plane = request.frame.plane[bound.plane];
        auto found = chip_->find(lock, plane.memory);
        if (!found)
            return std::unexpected(std::move(found.error()));
        slot.held[slot.memories++] = *found;
        slot.tensors[bound.tensor].address = (*found)->address + plane.memory.offset + plane.offset;
    }
    if (info_.output_bytes == 0)
        return {};
    if (request.output.placement != Placement::Host)
        return refuse(ErrorCode::MemoryForeign, submission, "the output does not lie in host pages", {}, EINVAL);
    if (request.output.size < info_.output_bytes)
        return refuse(
            ErrorCode::MemoryRange, submission,
            std::format("the output memory has {} bytes, the model writes {}", request.output.size, info_.output_bytes),
            "allocate EngineInfo::output_bytes", EINVAL);
    auto found = chip_->find(lock, request.output);
    if (!found)
        return std::unexpected(std::move(found.error()));
    slot.held[slot.memories++] = *found;
    slot.output = (*found)->address + request.output.offset;
    return {};
}

Status SynapseEngine::Core::submit(std::span<const InferRequest> requests, CompletionListener &listener)
{
    const auto lock = chip_->lock();
    if (auto alive = chip_->check_alive(lock, submission); !alive)
        return alive;
    if (chip_->generation(lock) != generation_)
        return std::unexpected(chip_->lost_error(submission)); // opened again since: the model is of before
    if (requests.size() > free_.size() || !queue_.fits(lock, requests.size()))
        return refuse(
            ErrorCode::QueueFull, submission,
            std::format("{} requests are under way, {} more do not fit", slots_.size() - free_.size(), requests.size()),
            "wait for a completion", EAGAIN);
    for (size_t i = 0; i < requests.size(); ++i)
        if (auto checked = check(lock, requests[i], *free_[free_.size() - 1 - i]); !checked)
            return checked;
    for (const InferRequest &request : requests) {
        Slot &slot = *free_.back();
        free_.pop_back();
        slot.id = request.id;
        slot.listener = &listener;
        slot.deadline = request.deadline;
        slot.generation = generation_;
        slot.refused = false;
        for (size_t i = 0; i < slot.memories; ++i)
            chip_->hold(lock, *slot.held[i]);
        chip_->request_begins(lock);
        queue_.push(lock, slot);
    }
    return {};
}

// What a stream is given is done in order, whatever it is: the copies begin when the launch has ended.
std::optional<CallFailure> SynapseEngine::Core::Slot::issue(const Session &session, abi::StreamHandle stream)
{
    const Library &library = session.library();
    abi::Status status = library->synLaunch(stream, tensors.data(), static_cast<uint32_t>(tensors.size()), workspace,
                                            core.loaded_->recipe.handle(), 0);
    refused = refuses_recipe(status);
    if (status != abi::success)
        return CallFailure{"synLaunch", status};
    for (size_t i = 0; i < core.info_.outputs.size(); ++i) {
        const EngineTensor &tensor = core.info_.outputs[i];
        const uint64_t source = tensors[core.binding_.outputs[i].tensor].address;
        status = library->synMemCopyAsync(stream, source, tensor.bytes, output + tensor.offset, abi::dram_to_host);
        if (status != abi::success)
            return CallFailure{"synMemCopyAsync", status};
    }
    return std::nullopt;
}

void SynapseEngine::Core::finish(Slot &slot, Completion completion) noexcept
{
    completion.id = slot.id;
    if (slot.refused && !completion.status && completion.status.error().code == ErrorCode::RunFailed) {
        completion.status.error().code = ErrorCode::RecipeRefused;
        completion.status.error().remedy = "compile the model anew, for this chip and with this release of SynapseAI";
    }
    CompletionListener &listener = *slot.listener;
    std::array<std::unique_ptr<Allocation>, max_planes + 1> dead;
    {
        const auto lock = chip_->lock();
        for (size_t i = 0; i < slot.memories; ++i)
            dead[i] = chip_->drop(lock, *slot.held[i]);
        chip_->request_ends(lock);
        free_.push_back(&slot);
    }
    dead = {};
    chip_->delivery().deliver(listener, std::move(completion));
}

} // namespace hl::synapse
