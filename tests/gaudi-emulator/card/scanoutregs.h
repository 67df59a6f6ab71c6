/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scan-out engine: 1b36:7ab1, one BAR of 4 KiB, one MSI. It reads every buffer that is handed over, in order, and
 * answers with the CRC-32 of what is visible of the frame, plane after plane, row after row without the padding. Each
 * buffer comes with the frame registers as they are at its DOORBELL.
 */
#ifndef HL_CARD_SCANOUTREGS_H
#define HL_CARD_SCANOUTREGS_H

#include "sgregs.h"

#define HL_SCANOUT_VENDOR 0x1b36
#define HL_SCANOUT_DEVICE 0x7ab1
#define HL_SCANOUT_ID HL_CARD_FOURCC('h', 'l', 's', 'o')

/* DONE_NUMBER counts the frames since the start, from 0. */
#define HL_SCANOUT_FRAMES 0x100 /* RO: frames read since the start */

#endif
