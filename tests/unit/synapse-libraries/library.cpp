// SPDX-License-Identifier: LGPL-2.1-or-later

// A libSynapse.so that is to be refused; which one, its macros say. Calling anything but synDriverGetVersion ends the
// process: the release is to be known first.
#include <cstdio>
#include <cstdlib>

#pragma GCC visibility push(default)
extern "C" {

#ifdef HL_TEST_VERSION
int synDriverGetVersion(char *text, int length)
{
    std::snprintf(text, static_cast<size_t>(length), "%s", HL_TEST_VERSION);
    return 0;
}
#endif

#ifdef HL_TEST_NO_ANSWER
int synDriverGetVersion(char *, int)
{
    return 26; // synFail
}
#endif

int synInitialize()
{
    std::abort();
}

} // extern "C"
#pragma GCC visibility pop
