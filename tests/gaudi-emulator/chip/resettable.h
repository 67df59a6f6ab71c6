// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace gaudiemu::chip {

// A block that has a state besides its registers, or clears them itself.
class Resettable {
public:
    // Back to power-on, with no job under way.
    virtual void reset() = 0;

protected:
    ~Resettable() = default;
};

} // namespace gaudiemu::chip
