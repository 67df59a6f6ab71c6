// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A double that is wrong on purpose: all of the ABI, of a release that is too old (supported are 1.18 and later).
#include "version.h"

const char *const hl::dbl::version_text = "1.15.1 (SynapseAI double: computes on the host)";
