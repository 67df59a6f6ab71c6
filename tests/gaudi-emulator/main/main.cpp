// SPDX-License-Identifier: LGPL-2.1-or-later
#include "card/capturecard.h"
#include "card/scanoutengine.h"
#include "chip/gaudi1.h"
#include "chip/gaudi2.h"
#include "main/listener.h"
#include "main/options.h"
#include "transport/functionserver.h"
#include "transport/nullfunction.h"

#include <csignal>
#include <cstdio>
#include <format>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

using namespace gaudiemu;

namespace {

using FunctionPtr = std::unique_ptr<PciFunction>;

// A function, and the socket at which QEMU will ask for it.
struct Place {
    std::string name;
    FunctionPtr function;
    Listener listener;
};
using Places = std::vector<Place>;

// Keeps the model that it is a dead image of.
class DeadFunction final : public NullFunction {
public:
    explicit DeadFunction(FunctionPtr model) : NullFunction(*model), model_(std::move(model)) {}

private:
    FunctionPtr model_;
};

template <typename Model>
std::expected<FunctionPtr, std::string> make_model(chip::ChipSettings settings)
{
    auto model = Model::make(std::move(settings));
    if (!model)
        return std::unexpected(model.error());
    return std::move(*model);
}

std::expected<FunctionPtr, std::string> make_gaudi(const Options &options)
{
    chip::ChipSettings settings;
    settings.null = options.behaviour == Behaviour::Null;
    for (const auto &order : options.faults)
        if (auto added = settings.faults.add(order); !added)
            return std::unexpected(added.error());
    auto gaudi = options.chip == Chip::Gaudi ? make_model<chip::Gaudi1>(std::move(settings))
                                             : make_model<chip::Gaudi2>(std::move(settings));
    if (gaudi && options.behaviour == Behaviour::Dead)
        return std::make_unique<DeadFunction>(std::move(*gaudi));
    return gaudi;
}

std::expected<FunctionPtr, std::string> make_card(const Options &options)
{
    if (!options.film)
        return std::make_unique<CaptureCard>();
    auto film = Film::open(*options.film);
    if (!film)
        return std::unexpected(film.error());
    return std::make_unique<CaptureCard>(std::move(*film));
}

std::expected<void, std::string> add(Places &places, std::string name, const std::optional<std::string> &path,
                                     std::expected<FunctionPtr, std::string> function)
{
    if (!function)
        return std::unexpected(function.error());
    auto listener = Listener::make(*path);
    if (!listener)
        return std::unexpected(listener.error());
    places.push_back({std::move(name), std::move(*function), std::move(*listener)});
    return {};
}

std::expected<Places, std::string> make_places(const Options &options)
{
    Places places;
    std::expected<void, std::string> added;
    if (options.gaudi)
        added = add(places, "gaudi", options.gaudi, make_gaudi(options));
    if (added && options.capture)
        added = add(places, "capture", options.capture, make_card(options));
    if (added && options.scanout)
        added = add(places, "scanout", options.scanout, std::make_unique<ScanoutEngine>());
    if (!added)
        return std::unexpected(added.error());
    return places;
}

void serve(Place place)
{
    auto client = place.listener.accept();
    if (!client)
        return;
    FunctionServer server(place.name, std::move(client));
    const FunctionPtr function = std::move(place.function); // ends before its host
    server.serve(*function);
}

int fail(std::string_view what)
{
    std::fputs(std::format("gaudi-emulator: error: {}\n", what).c_str(), stderr);
    return 1;
}

} // namespace

int main(int argc, char **argv)
{
    const auto options = Options::parse({argv + 1, argv + argc});
    if (!options) {
        std::fputs(usage, stderr);
        return fail(options.error());
    }
    std::signal(SIGPIPE, SIG_IGN); // an interrupt's descriptor may be anything
    auto places = make_places(*options);
    if (!places)
        return fail(places.error());
    std::puts("ready");
    std::fflush(stdout);
    std::vector<std::thread> threads;
    for (auto &place : *places)
        threads.emplace_back(serve, std::move(place));
    for (auto &thread : threads)
        thread.join();
    return 0;
}
