/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two cards have in common on the bus: scatter-gather lists, interrupts and results. Plain C, for their kernel
 * drivers (tests/vm/modules) and their models. Registers are 32 bits wide and little endian, and are read and written
 * as such.
 */
#ifndef HL_CARD_SGREGS_H
#define HL_CARD_SGREGS_H

#include <linux/types.h>

/* The BAR of either card: index 0, trapped throughout. */
#define HL_CARD_BAR 0
#define HL_CARD_BAR_BYTES 4096

/* One entry of a list in memory. The entries' bytes, one after the other, are the buffer; any alignment will do. */
struct hl_card_sg {
    __u64 address; /* on the bus */
    __u32 bytes;   /* not 0 */
    __u32 reserved;
};
#define HL_CARD_SG_MAX 16384 /* entries of one list */

/* Buffers that may wait in a card. One more is refused with HL_CARD_ERROR_QUEUE. */
#define HL_CARD_QUEUE_DEPTH 32

/* At the same place in both BARs. */
#define HL_CARD_ID 0x000          /* RO: which card */
#define HL_CARD_VERSION_REG 0x004 /* RO: HL_CARD_VERSION */
#define HL_CARD_CONTROL 0x008
#define HL_CARD_STATUS 0x00c     /* RO */
#define HL_CARD_IRQ_STATUS 0x010 /* RW1C: HL_CARD_IRQ_* that came since they were cleared */
#define HL_CARD_IRQ_ENABLE 0x014 /* which of them send MSI 0, at each event anew */
#define HL_CARD_VERSION 1

#define HL_CARD_CONTROL_RUN                                                                                            \
    0x1 /* 0 gives the buffers back: nothing waits any more, and STATUS_BUSY falls when the DMA in flight, if any, has \
           ended */
#define HL_CARD_STATUS_BUSY 0x1 /* the card may still read or write a buffer */
#define HL_CARD_IRQ_DONE 0x1    /* a result waits */
#define HL_CARD_IRQ_IDLE 0x2    /* after CONTROL_RUN was cleared: STATUS_BUSY has fallen */

/* A buffer is handed over by its list, and then DOORBELL. */
#define HL_CARD_SG_LOW 0x020
#define HL_CARD_SG_HIGH 0x024
#define HL_CARD_SG_COUNT 0x028
#define HL_CARD_COOKIE 0x02c /* comes back with the result */
#define HL_CARD_DOORBELL 0x030

/* The oldest result that waits; DONE_POP takes it away. The others are valid while DONE_COUNT is not 0. */
#define HL_CARD_DONE_COUNT 0x040  /* RO */
#define HL_CARD_DONE_COOKIE 0x044 /* RO */
#define HL_CARD_DONE_ERROR 0x048  /* RO: HL_CARD_ERROR_* */
#define HL_CARD_DONE_NUMBER 0x04c /* RO: of the frame */
#define HL_CARD_DONE_CRC 0x050    /* RO: of the frame, see HL_CARD_STAMP_CRC; 0 if there was an error */
#define HL_CARD_DONE_POP 0x054    /* WO */

#define HL_CARD_ERROR_NONE 0
#define HL_CARD_ERROR_BUS 1    /* nobody answered at an address of the list, or at the list's */
#define HL_CARD_ERROR_STALL 2  /* the list ended before the frame did, or has an entry of no bytes */
#define HL_CARD_ERROR_LAYOUT 3 /* the registers describe no frame */
#define HL_CARD_ERROR_QUEUE 4  /* the queue was full: the buffer was not taken */

/*
 * The frame. FORMAT is a fourcc; planes follow each other in the buffer at OFFSET_n, with rows of STRIDE_n bytes.
 *   YUYV UYVY GREY        one plane, 2, 2 and 1 bytes a pixel
 *   RGB3 XR24             one plane, 3 bytes R G B, 4 bytes B G R X
 *   NV12                  Y, then UV in pairs at half the width and height
 *   YU12                  Y, then U, then V at half the width and height
 * Odd widths of YUYV and UYVY, and odd sizes of NV12 and YU12, are rounded up to whole pairs of samples.
 */
#define HL_CARD_FORMAT 0x080
#define HL_CARD_WIDTH 0x084
#define HL_CARD_HEIGHT 0x088
#define HL_CARD_FRAME_BYTES 0x08c /* planes and the gaps between them: the buffer has at least as many */
#define HL_CARD_OFFSET(plane) (0x090 + 8 * (plane))
#define HL_CARD_STRIDE(plane) (0x094 + 8 * (plane))
#define HL_CARD_PLANES_MAX 3

#define HL_CARD_FOURCC(a, b, c, d) ((__u32)(a) | (__u32)(b) << 8 | (__u32)(c) << 16 | (__u32)(d) << 24)
#define HL_CARD_YUYV HL_CARD_FOURCC('Y', 'U', 'Y', 'V')
#define HL_CARD_UYVY HL_CARD_FOURCC('U', 'Y', 'V', 'Y')
#define HL_CARD_GREY HL_CARD_FOURCC('G', 'R', 'E', 'Y')
#define HL_CARD_RGB3 HL_CARD_FOURCC('R', 'G', 'B', '3')
#define HL_CARD_XR24 HL_CARD_FOURCC('X', 'R', '2', '4')
#define HL_CARD_NV12 HL_CARD_FOURCC('N', 'V', '1', '2')
#define HL_CARD_YU12 HL_CARD_FOURCC('Y', 'U', '1', '2')

#define HL_CARD_WIDTH_MIN 32
#define HL_CARD_WIDTH_MAX 1920
#define HL_CARD_HEIGHT_MIN 16
#define HL_CARD_HEIGHT_MAX 1080

/*
 * The stamp of a generated frame: three little-endian words at the first bytes of its first row. The CRC is CRC-32
 * (IEEE 802.3, zlib's crc32()) over what is visible of the frame, plane after plane, row after row without the padding
 * at a row's end, and without the four bytes of the CRC itself.
 */
#define HL_CARD_STAMP_MAGIC 0 /* HL_CARD_MAGIC */
#define HL_CARD_STAMP_NUMBER 4
#define HL_CARD_STAMP_CRC 8
#define HL_CARD_STAMP_BYTES 12
#define HL_CARD_MAGIC HL_CARD_FOURCC('h', 'l', 'f', 'r')

#endif
