// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pcifunction.h"
#include "transport/connection.h"
#include "transport/dmatable.h"
#include "transport/interrupts.h"
#include "transport/regions.h"
#include "transport/remotedma.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>

namespace gaudiemu {

// Serves one PCI function to one vfio-user client: takes the client's requests apart, answers each in turn, and is the
// machine that the function sees. Must live longer than the function.
class FunctionServer final : public PciHost {
public:
    // `name` is the function's in messages.
    FunctionServer(std::string name, hl::UniqueFd socket);
    ~FunctionServer();

    // Attaches the function and serves it until the client goes or says what cannot be understood; then the machine is
    // gone for the function. Once.
    void serve(PciFunction &function);
    // Ends serve(), from another thread.
    void stop();

    [[nodiscard]] std::expected<void, BusFault> dma_read(uint64_t bus_address, std::span<std::byte> into) override;
    [[nodiscard]] std::expected<void, BusFault> dma_write(uint64_t bus_address,
                                                          std::span<const std::byte> from) override;
    void interrupt(unsigned vector) override;

private:
    // The payload of an answer and the descriptor that goes with it.
    struct Answer {
        std::vector<std::byte> payload;
        int fd = -1;
    };
    using Result = std::expected<Answer, int>;

    void handle(Connection::Message &message);
    [[nodiscard]] Result handle(const vfio::VersionRequest &request);
    [[nodiscard]] Result handle(const vfio::DmaMapRequest &request);
    [[nodiscard]] Result handle(const vfio::DmaUnmapRequest &request);
    [[nodiscard]] Result handle(const vfio::GetInfoRequest &request);
    [[nodiscard]] Result handle(const vfio::GetRegionInfoRequest &request);
    [[nodiscard]] Result handle(const vfio::GetIrqInfoRequest &request);
    [[nodiscard]] Result handle(const vfio::SetIrqsRequest &request);
    [[nodiscard]] Result handle(const vfio::RegionReadRequest &request);
    [[nodiscard]] Result handle(const vfio::RegionWriteRequest &request);
    [[nodiscard]] Result handle(const vfio::ResetRequest &request);

    void reset();
    // What all of a DMA needs; nullopt: it may go ahead.
    [[nodiscard]] std::optional<std::string> refusal(uint64_t address, size_t size) const;
    template <class Bytes>
    [[nodiscard]] std::expected<void, BusFault> transfer(uint64_t address, Bytes bytes);

    const std::string name_;
    Connection connection_;
    DmaTable dma_;
    RemoteDma remote_{connection_};
    PciFunction *function_ = nullptr;
    std::unique_ptr<Interrupts> interrupts_;
    std::unique_ptr<Regions> regions_;
    bool version_agreed_ = false;
    std::vector<hl::UniqueFd> *received_ = nullptr; // descriptors of the request that is handled
    std::atomic<std::thread::id> server_thread_;
    std::atomic<bool> gone_ = false;
};

} // namespace gaudiemu
