// SPDX-License-Identifier: LGPL-2.1-or-later
#include "main/options.h"

#include <format>

namespace gaudiemu {

const char *const usage = R"(gaudi-emulator: PCI functions for QEMU's vfio-user-pci

  gaudi-emulator [--chip CHIP] [--socket PATH] [--capture PATH] [--scanout PATH] [--film FILM] [--fault ORDER]... [--null | --dead]

  --chip CHIP      what the Gaudi is: gaudi (the first) or gaudi2 (the default)
  --socket PATH    a Gaudi, served at this unix socket, which must not be there yet
  --capture PATH   a capture card, likewise
  --scanout PATH   a scan-out engine, likewise
  --film FILM      what the capture card looks at in frames of this format and size: FILE:FOURCC:WIDTHxHEIGHT
  --fault ORDER    make the chip fail on order; the grammar is in chip/chipfaults.h
  --null           the Gaudi completes every job and moves nothing
  --dead           the Gaudi's registers read zero and nothing ever happens

Writes "ready" to its standard output when QEMU may connect, and ends when QEMU has gone.
)";

std::expected<Options, std::string> Options::parse(const std::vector<std::string> &arguments)
{
    Options options;
    for (size_t i = 0; i < arguments.size(); ++i) {
        const auto equals = arguments[i].find('=');
        const auto name = arguments[i].substr(0, equals);
        if (arguments[i] == "--null" || arguments[i] == "--dead") {
            if (options.behaviour != Behaviour::Chip)
                return std::unexpected("--null and --dead: one of them, once");
            options.behaviour = name == "--null" ? Behaviour::Null : Behaviour::Dead;
            continue;
        }
        auto *value_of = name == "--socket"    ? &options.gaudi
                         : name == "--capture" ? &options.capture
                         : name == "--scanout" ? &options.scanout
                         : name == "--film"    ? &options.film
                                               : nullptr;
        if (!value_of && name != "--chip" && name != "--fault")
            return std::unexpected(std::format("there is no option {}", name));
        if (equals == std::string::npos && ++i == arguments.size())
            return std::unexpected(std::format("{} wants a value", name));
        const auto value = equals == std::string::npos ? arguments[i] : arguments[i].substr(equals + 1);
        if (name == "--fault")
            options.faults.push_back(value);
        else if (value_of)
            *value_of = value;
        else if (value == "gaudi" || value == "gaudi2")
            options.chip = value == "gaudi" ? Chip::Gaudi : Chip::Gaudi2;
        else
            return std::unexpected(std::format("there is no chip {}; there are: gaudi, gaudi2", value));
    }
    if (!options.gaudi && !options.capture && !options.scanout)
        return std::unexpected("nothing to serve: --socket, --capture or --scanout");
    return options;
}

} // namespace gaudiemu
