// SPDX-License-Identifier: LGPL-2.1-or-later
#include "version.h"

const char *const hl::dbl::version_text = "1.21.0 (SynapseAI double: computes on the host)";
