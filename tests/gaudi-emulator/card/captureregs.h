/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The capture card: 1b36:7ab0, one BAR of 4 KiB, one MSI. It makes a frame every INTERVAL microseconds while
 * CONTROL_RUN is set, and writes it into the oldest buffer that waits; a frame for which none waits is lost. Every
 * frame has a number, from 0 at each start, lost ones included. Buffers may be handed over before the start. Each comes
 * with the frame registers as they are at its DOORBELL. Padding at a row's end and gaps between planes are not written.
 */
#ifndef HL_CARD_CAPTUREREGS_H
#define HL_CARD_CAPTUREREGS_H

#include "sgregs.h"

#define HL_CAPTURE_VENDOR 0x1b36
#define HL_CAPTURE_DEVICE 0x7ab0
#define HL_CAPTURE_ID HL_CARD_FOURCC('h', 'l', 'c', 'p')

#define HL_CAPTURE_INTERVAL                                                                                            \
    0x100 /* microseconds between two frames, taken up at once; 0: a frame for every buffer, as fast as it goes */
#define HL_CAPTURE_INTERVAL_DEFAULT 33333
#define HL_CAPTURE_LOST 0x104   /* RO: frames lost since the start */
#define HL_CAPTURE_FRAMES 0x108 /* RO: frames written since the start */

/* What the card knows of the frames that it has written without an error since the start: number and CRC. Frame n is
 * entry n % HL_CAPTURE_LOG_ENTRIES. */
#define HL_CAPTURE_LAST_NUMBER 0x110 /* RO: of the last one; all ones if there is none */
#define HL_CAPTURE_LAST_CRC 0x114    /* RO */
#define HL_CAPTURE_LOG 0x800         /* RO */
#define HL_CAPTURE_LOG_ENTRIES 256
#define HL_CAPTURE_LOG_NUMBER(frame) (HL_CAPTURE_LOG + 8 * ((frame) % HL_CAPTURE_LOG_ENTRIES)) /* all ones: no frame   \
                                                                                                */
#define HL_CAPTURE_LOG_CRC(frame) (HL_CAPTURE_LOG_NUMBER(frame) + 4)

#endif
