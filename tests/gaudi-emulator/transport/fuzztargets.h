// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <span>

// What libFuzzer runs (fuzz_messages.cpp, fuzz_server.cpp, with clang), and what the corpus is replayed through
// everywhere (corpus_test.cpp). Both abort where a promise is broken.
namespace gaudiemu::test {

// A stream of messages through the parser.
void fuzz_messages(std::span<const std::byte> stream);

// A stream of messages, after the agreement on a version, to a server with a function behind it.
void fuzz_server(std::span<const std::byte> stream);

} // namespace gaudiemu::test
