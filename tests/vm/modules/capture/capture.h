/* SPDX-License-Identifier: GPL-2.0 */
/*
 * V4L2 driver of the emulated capture card (tests/gaudi-emulator/card/captureregs.h). Test-only.
 *
 * main.c    the PCI device, its interrupt and its queue of buffers
 * video.c   formats and ioctls
 * queue.c   videobuf2 operations
 * memory.c  what videobuf2 has memory from: its own dma-sg, and dma-bufs imported for peer-to-peer
 */
#ifndef HL_TEST_CAPTURE_H
#define HL_TEST_CAPTURE_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <media/v4l2-device.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-v4l2.h>

#include "captureregs.h"

#define HL_MEMORY_PLANES_MAX 2

/* How a pixel format lies in memory. */
struct hl_format {
	u32 fourcc;		/* V4L2's */
	u32 card;		/* the card's name of it */
	u8 sample_bytes;	/* of plane 0, for `sample_pixels` pixels */
	u8 sample_pixels;
	u8 planes;
	u8 chroma_stride_div;	/* stride of the others: plane 0's divided by this; they have half the rows */
	u8 memory_planes;	/* 2: plane 1 is a buffer of its own */
};

/* A frame's shape, for the card and for V4L2 alike. */
struct hl_shape {
	const struct hl_format *format;
	u32 width, height;
	u32 stride[HL_CARD_PLANES_MAX];
	u32 offset[HL_CARD_PLANES_MAX];	/* in the memory planes one after the other */
	u32 bytes;
	u32 memory_bytes[HL_MEMORY_PLANES_MAX];
};

struct hl_buffer {
	struct vb2_v4l2_buffer vb;
	struct list_head entry;		/* in hl_capture.active, until the card has given it back */
	struct hl_card_sg *list;
	dma_addr_t list_address;
	size_t list_bytes;		/* allocated */
	u32 list_count;
};

struct hl_capture {
	struct v4l2_device v4l2;	/* its release frees all this */
	struct video_device video;
	struct vb2_queue queue;
	struct mutex lock;		/* of the ioctls and the queue */
	struct pci_dev *pci;
	void __iomem *registers;
	int irq;
	struct hl_shape shape;
	u32 interval;			/* microseconds */

	spinlock_t active_lock;
	struct list_head active;
	bool streaming;
	struct completion idle;		/* the card has stopped */
};

extern const struct vb2_mem_ops hl_memory_ops;
extern const struct v4l2_ioctl_ops hl_single_ioctl_ops, hl_multi_ioctl_ops;

int hl_queue_init(struct hl_capture *capture, bool multiplanar);
void hl_shape_set(struct hl_shape *shape, u32 fourcc, u32 width, u32 height, u32 stride, bool multiplanar);

/* main.c: the card. */
void hl_card_submit(struct hl_capture *capture, struct hl_buffer *buffer);
void hl_card_start(struct hl_capture *capture);
void hl_card_stop(struct hl_capture *capture);

#endif
