// SPDX-License-Identifier: LGPL-2.1-or-later
#include "node/playednode.h"

#include "device/holders.h"

#include <drm/drm.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <format>
#include <utility>

namespace hl::dbl {

namespace uapi = habanalabs::uapi;

namespace {

constexpr uint64_t cpu_page = 4096;
constexpr uint64_t default_pages = 3;
constexpr uint64_t hbm_address = 0x1001500000000000; // gaudi2.h RESERVED_VA_RANGE_FOR_ARC_ON_HBM_START
constexpr std::array<std::string_view, 11> points{"open",   "alloc",  "free", "map",   "pin",   "unmap",
                                                  "export", "submit", "wait", "flush", "status"};

std::optional<int> errno_of(std::string_view name)
{
    for (int e = 1; e <= 133; ++e)
        if (const char *text = strerrorname_np(e); text && name == text)
            return e;
    return std::nullopt;
}

bool hung_up(int fd)
{
    pollfd entry{.fd = fd, .events = 0, .revents = 0};
    return ::poll(&entry, 1, 0) > 0 && (entry.revents & POLLHUP);
}

// Puts `what` into the socket's queue, where it is held until the other end is closed by its last holder.
bool leave_with(int socket, int what)
{
    char byte = 0;
    iovec one{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &one;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr *const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &what, sizeof what);
    return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

// memory.c pin_host_memory: FOLL_WRITE | FOLL_LONGTERM of every page.
bool pinnable(uint64_t address, uint64_t bytes)
{
    const uint64_t from = address & ~(cpu_page - 1);
    const uint64_t to = (address + bytes + cpu_page - 1) & ~(cpu_page - 1);
    return ::madvise(reinterpret_cast<void *>(from), to - from, MADV_POPULATE_WRITE) == 0;
}

// Descriptors of a socket: all of this process's, and one for each other process that has any.
uint64_t open_files(const FileId &id)
{
    const auto same = [&id](const struct stat &st) { return file_id(st) == id; };
    uint64_t count = 0;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd"))
        if (struct stat st{}; ::stat(entry.path().c_str(), &st) == 0 && same(st))
            ++count;
    const auto holders = find_holders("socket:", same);
    return count + static_cast<uint64_t>(std::ranges::count_if(holders, [](pid_t pid) { return pid != ::getpid(); }));
}

} // namespace

PlayedNode &PlayedNode::instance()
{
    // Never destroyed: threads may be in it when the process exits.
    static auto *const node = new PlayedNode;
    return *node;
}

PlayedNode::Session::~Session()
{
    for (const auto &[handle, allocation] : allocations)
        ::munmap(allocation.data, allocation.bytes);
}

bool PlayedNode::configure()
{
    const char *faults = std::getenv("HL_NODE_FAULTS");
    if (const std::string text = faults ? faults : ""; text != faults_) {
        auto orders = Orders::parse(text, {.names = points, .timed = {}, .code = errno_of});
        if (!orders) {
            std::fprintf(stderr, "played habanalabs node: HL_NODE_FAULTS: %s\n", orders.error().c_str());
            return false;
        }
        orders_ = std::move(*orders);
        faults_ = text;
    }
    const char *const pages = std::getenv("HL_NODE_HBM_PAGES");
    hbm_pages_ = default_pages;
    if (!pages)
        return true;
    const auto [end, error] = std::from_chars(pages, pages + std::strlen(pages), hbm_pages_);
    const bool good = error == std::errc{} && !*end && hbm_pages_ >= 1 && hbm_pages_ <= 128;
    if (!good)
        std::fprintf(stderr, "played habanalabs node: HL_NODE_HBM_PAGES: 1 to 128 was expected\n");
    return good;
}

// --- opening ---

std::expected<UniqueFd, int> PlayedNode::take_lock()
{
    const char *const name = std::getenv("HL_NODE_LOCK");
    if (!name)
        return UniqueFd();
    UniqueFd lock(::open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock)
        return std::unexpected(errno);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0)
        return std::unexpected(EBUSY);
    return lock;
}

// Ends what its last holder has closed.
void PlayedNode::prune()
{
    std::erase_if(controls_, [](const auto &entry) { return hung_up(entry.second.get()); });
    if (!session_)
        return;
    std::erase_if(session_->exports, [](const Export &e) { return hung_up(e.ours.get()); });
    if (hung_up(session_->ours.get())) // dma-bufs hold it too
        session_.reset();
}

int PlayedNode::make_node(UniqueFd &ours, FileId &file, bool close_on_exec)
{
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) < 0)
        return -errno;
    ours.reset(ends[0]);
    UniqueFd theirs(ends[1]);
    if (!close_on_exec)
        ::fcntl(theirs.get(), F_SETFD, 0);
    file = *file_id(theirs.get());
    return theirs.release();
}

int PlayedNode::strike(const char *point)
{
    const Order order = orders_.next(point);
    if (order.lost)
        lose();
    return order.code.value_or(0);
}

int PlayedNode::open(bool control, bool close_on_exec)
{
    const std::lock_guard held(mutex_);
    if (!configure())
        return -EINVAL;
    prune();
    if (control) {
        UniqueFd ours;
        FileId file;
        const int fd = make_node(ours, file, close_on_exec);
        if (fd >= 0)
            controls_.insert_or_assign(file, std::move(ours));
        return fd;
    }
    if (session_)
        return session_->lost ? -EAGAIN : -EBUSY;
    if (const int err = strike("open"))
        return -err;
    const auto lock = take_lock();
    if (!lock)
        return -lock.error();
    session_ = std::make_unique<Session>();
    const int fd = make_node(session_->ours, session_->file, close_on_exec);
    if (fd < 0 || (*lock && !leave_with(session_->ours.get(), lock->get()))) {
        session_.reset();
        return fd < 0 ? fd : -ENOMEM;
    }
    ++opens_;
    return fd;
}

void PlayedNode::lose()
{
    if (!session_ || session_->lost)
        return;
    session_->lost = true;
    session_->events |= uapi::event_device_reset;
    if (session_->eventfd)
        (void)::eventfd_write(session_->eventfd.get(), 1);
}

// --- the calls ---

std::optional<int> PlayedNode::ioctl(int fd, unsigned long number, void *argument)
{
    const auto id = file_id(fd);
    if (!id)
        return std::nullopt;
    const std::lock_guard held(mutex_);
    const bool control = controls_.contains(*id);
    if (!control && (!session_ || session_->file != *id))
        return std::nullopt;
    const uapi::IoctlNumbers &numbers = uapi::accel_ioctls;
    if (number == DRM_IOCTL_VERSION) {
        auto &version = *static_cast<drm_version *>(argument);
        constexpr std::string_view name = "habanalabs";
        if (version.name && version.name_len >= name.size())
            std::memcpy(version.name, name.data(), name.size());
        version.name_len = name.size();
        version.date_len = version.desc_len = 0;
        return 0;
    }
    prune();
    if (number == numbers.info)
        return -info(*static_cast<uapi::InfoArgs *>(argument), control);
    if (control)
        return -ENOTTY; // habanalabs_ioctl.c hl_ioctl_control
    if (number == numbers.memory)
        return -memory(*static_cast<uapi::MemArgs *>(argument), fd);
    if (number == numbers.cs)
        return -submit(*static_cast<uapi::CsArgs *>(argument));
    if (number == numbers.wait_cs)
        return -wait(*static_cast<uapi::WaitArgs *>(argument));
    return -ENOTTY;
}

uapi::HwIpInfo PlayedNode::hw_info() const
{
    uapi::HwIpInfo hw{};
    hw.dram_base_address = hbm_address;
    hw.dram_size = hbm_pages_ * page;
    hw.dram_page_size = page;
    hw.dram_enabled = 1;
    hw.device_id = 0x1020;
    hw.module_id = module_id;
    hw.revision_id = 1;
    hw.tpc_enabled_mask_ext = 0xFFFFFF;
    std::strcpy(hw.card_name, "played");
    std::strcpy(hw.cpucp_version, "played by libhabananode");
    return hw;
}

// Positive errno.
int PlayedNode::info(uapi::InfoArgs &args, bool control)
{
    if (args.pad != 0)
        return EINVAL;
    const auto give = [&args](const auto &value) {
        std::memcpy(reinterpret_cast<void *>(args.return_pointer), &value,
                    std::min<size_t>(args.return_size, sizeof value));
        return 0;
    };
    const bool lost = session_ && session_->lost;
    switch (args.op) {
    case uapi::info_hw_ip:
        return give(hw_info());
    case uapi::info_device_status:
        if (const int err = strike("status"))
            return err;
        return give(uapi::DeviceStatus{
            .status = session_ && session_->lost ? uapi::status_in_reset : uapi::status_operational, .pad = 0});
    case uapi::info_open_stats: {
        uapi::OpenStats stats{};
        stats.open_counter = opens_;
        stats.is_compute_ctx_active = session_ || !take_lock();
        return give(stats);
    }
    case uapi::info_register_eventfd:
        if (control)
            return EOPNOTSUPP;
        if (lost)
            return EBUSY;
        if (session_->eventfd)
            return EINVAL;
        session_->eventfd.reset(::fcntl(static_cast<int>(args.argument), F_DUPFD_CLOEXEC, 0));
        return session_->eventfd ? 0 : EINVAL;
    case uapi::info_get_events:
        if (control)
            return EOPNOTSUPP;
        return give(std::exchange(session_->events, 0));
    default:
        return EINVAL;
    }
}

int PlayedNode::memory(uapi::MemArgs &args, int node)
{
    const auto point = [&args]() -> const char * {
        switch (args.op) {
        case uapi::mem_alloc:
            return "alloc";
        case uapi::mem_free:
            return "free";
        case uapi::mem_map:
            return args.flags & uapi::mem_userptr ? "pin" : "map";
        case uapi::mem_unmap:
            return "unmap";
        case uapi::mem_export:
            return "export";
        default:
            return nullptr;
        }
    }();
    if (!point)
        return EINVAL;
    const int err = strike(point);
    if (session_->lost)
        return EBUSY;
    if (err)
        return err;
    switch (args.op) {
    case uapi::mem_alloc:
        return allocate(args);
    case uapi::mem_free:
        return free(args.word[0]);
    case uapi::mem_map:
        return args.flags & uapi::mem_userptr ? map_host(args) : map_device(args);
    case uapi::mem_unmap:
        return unmap(args.word[0]);
    default:
        return export_memory(args, node);
    }
}

// --- memory ---

int PlayedNode::allocate(uapi::MemArgs &args)
{
    uint64_t used = 0;
    for (const auto &[handle, allocation] : session_->allocations)
        used += allocation.bytes;
    if (args.word[0] == 0)
        return EINVAL;
    const uint64_t free = hbm_pages_ * page - used;
    if (args.word[0] > free)
        return ENOMEM;
    const uint64_t bytes = (args.word[0] + page - 1) / page * page;
    void *const data =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED)
        return ENOMEM;
    args.word[0] = ++session_->last_handle;
    session_->allocations[args.word[0]] = {.bytes = bytes, .data = static_cast<std::byte *>(data)};
    return 0;
}

int PlayedNode::map_device(uapi::MemArgs &args)
{
    const uint64_t handle = args.word[1];
    const auto found = session_->allocations.find(handle);
    if (found == session_->allocations.end() || found->second.address != 0)
        return EINVAL;
    Allocation &allocation = found->second;
    allocation.address = hbm_address + (handle << 40);
    session_->mappings[allocation.address] = {.bytes = {allocation.data, allocation.bytes}, .handle = handle};
    args.word[0] = allocation.address;
    return 0;
}

int PlayedNode::map_host(uapi::MemArgs &args)
{
    const auto [address, hint, bytes] = std::to_array(args.word);
    (void)hint;
    if (bytes == 0 || address + bytes < address)
        return EINVAL;
    if (!pinnable(address, bytes))
        return EFAULT;
    // The device's address keeps the place in the page (memory.c map_device_va).
    const uint64_t device = session_->next_host_address + address % cpu_page;
    session_->next_host_address += (address % cpu_page + bytes + 2 * cpu_page - 1) & ~(cpu_page - 1);
    session_->mappings[device] = {.bytes = {reinterpret_cast<std::byte *>(address), bytes}};
    args.word[0] = device;
    return 0;
}

int PlayedNode::unmap(uint64_t address)
{
    const auto found = session_->mappings.find(address);
    if (found == session_->mappings.end() || std::ranges::contains(session_->exports, address, &Export::address))
        return EINVAL;
    if (found->second.handle)
        session_->allocations.at(found->second.handle).address = 0;
    session_->mappings.erase(found);
    return 0;
}

int PlayedNode::free(uint64_t handle)
{
    const auto found = session_->allocations.find(handle);
    if (found == session_->allocations.end() || found->second.address != 0)
        return EINVAL;
    ::munmap(found->second.data, found->second.bytes);
    session_->allocations.erase(found);
    return 0;
}

int PlayedNode::export_memory(uapi::MemArgs &args, int node)
{
    const auto [address, bytes, offset] = std::to_array(args.word);
    args.word[0] = static_cast<uint32_t>(-EBADF);
    const auto found = session_->mappings.find(address);
    if (bytes == 0 || address % cpu_page || bytes % cpu_page || offset % cpu_page ||
        found == session_->mappings.end() || found->second.handle == 0 || offset > found->second.bytes.size() ||
        bytes > found->second.bytes.size() - offset)
        return EINVAL;
    UniqueFd ours;
    FileId file;
    const int fd = make_node(ours, file, args.flags & O_CLOEXEC);
    if (fd < 0)
        return -fd;
    if (!leave_with(ours.get(), node)) { // as memory.c hl_export_dmabuf takes the file
        ::close(fd);
        return ENOMEM;
    }
    session_->exports.push_back({.ours = std::move(ours), .file = file, .address = address, .bytes = bytes});
    args.word[0] = static_cast<uint32_t>(fd);
    return 0;
}

// As drivers/dma-buf/dma-buf.c dma_buf_show_fdinfo.
std::optional<int> PlayedNode::open_fdinfo(int fd)
{
    const auto id = file_id(fd);
    uint64_t bytes = 0;
    {
        const std::lock_guard held(mutex_);
        if (!id || !session_)
            return std::nullopt;
        const auto found = std::ranges::find(session_->exports, *id, &Export::file);
        if (found == session_->exports.end())
            return std::nullopt;
        bytes = found->bytes;
    }
    const std::string text = std::format("pos:\t0\nflags:\t02100002\nsize:\t{}\ncount:\t{}\nexp_name:\thabanalabs\n",
                                         bytes, open_files(*id));
    UniqueFd file(::memfd_create("fdinfo", MFD_CLOEXEC));
    if (!file || ::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        return -ENOMEM;
    return file.release();
}

// --- submissions ---

std::byte *PlayedNode::at(uint64_t address, uint64_t bytes)
{
    auto found = session_->mappings.upper_bound(address);
    if (found == session_->mappings.begin())
        return nullptr;
    --found;
    const uint64_t offset = address - found->first;
    const std::span<std::byte> all = found->second.bytes;
    return offset < all.size() && bytes <= all.size() - offset ? all.data() + offset : nullptr;
}

bool PlayedNode::run(std::span<const std::byte> packets)
{
    // gaudi2_packets.h: {tsize, ctl, source, target}, {_, ctl}; the opcode in bits 24 to 28.
    while (packets.size() >= 8) {
        std::array<uint32_t, 2> head{};
        std::memcpy(head.data(), packets.data(), sizeof head);
        const uint32_t opcode = head[1] >> 24 & 0x1f;
        if (opcode == 0xA) {
            packets = packets.subspan(8);
            continue;
        }
        if (opcode != 0x9 || packets.size() < 24)
            return false;
        std::array<uint64_t, 2> address{};
        std::memcpy(address.data(), packets.data() + 8, sizeof address);
        const std::byte *const source = at(address[0], head[0]);
        std::byte *const target = at(address[1], head[0]);
        if (!source || !target)
            return false;
        std::memmove(target, source, head[0]);
        packets = packets.subspan(24);
    }
    return packets.empty();
}

int PlayedNode::submit(uapi::CsArgs &args)
{
    const bool flush = args.flags & uapi::cs_flush_pci_hbw_writes;
    const int err = strike(flush ? "flush" : "submit");
    if (session_->lost)
        return EBUSY;
    if (err || flush)
        return err;
    if (args.num_chunks_execute != 1 || args.num_chunks_restore != 0)
        return EINVAL;
    uapi::CsChunk chunk{};
    std::memcpy(&chunk, reinterpret_cast<const void *>(args.chunks_execute), sizeof chunk);
    if (chunk.flags != uapi::cs_chunk_user_alloc_cb || (chunk.queue != 0 && chunk.queue != 4))
        return EINVAL;
    const std::byte *const packets = at(chunk.cb, chunk.cb_size);
    if (!packets || !run({packets, chunk.cb_size})) {
        std::fprintf(stderr, "played habanalabs node: a submission reaches memory that nobody mapped: reset\n");
        lose(); // gaudi2.c gaudi2_handle_page_error
    }
    args.chunks_restore = ++session_->last_sequence; // the answer's seq
    return 0;
}

int PlayedNode::wait(uapi::WaitArgs &args)
{
    const int err = strike("wait");
    if (session_->lost)
        return EIO;
    if (err)
        return err;
    if (args.seq == 0 || args.seq > session_->last_sequence)
        return EINVAL;
    args.seq = uapi::wait_completed; // the answer's status and flags
    return 0;
}

} // namespace hl::dbl
