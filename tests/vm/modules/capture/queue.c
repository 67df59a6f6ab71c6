// SPDX-License-Identifier: GPL-2.0
/* videobuf2 operations: a buffer's memory becomes the list that the card walks. */
#include <linux/dma-mapping.h>

#include "capture.h"

static struct hl_capture *capture_of(struct vb2_queue *queue)
{
	return vb2_get_drv_priv(queue);
}

static struct hl_buffer *buffer_of(struct vb2_buffer *vb)
{
	return container_of(to_vb2_v4l2_buffer(vb), struct hl_buffer, vb);
}

static int hl_queue_setup(struct vb2_queue *queue, unsigned int *buffers, unsigned int *planes, unsigned int sizes[], struct device *devices[])
{
	const struct hl_shape *shape = &capture_of(queue)->shape;
	unsigned int i;

	if (*planes) {
		if (*planes != shape->format->memory_planes)
			return -EINVAL;
		for (i = 0; i < *planes; i++)
			if (sizes[i] < shape->memory_bytes[i])
				return -EINVAL;
		return 0;
	}
	*planes = shape->format->memory_planes;
	for (i = 0; i < *planes; i++)
		sizes[i] = shape->memory_bytes[i];
	return 0;
}

/* The list of `bytes` of a table, appended to what the buffer has; only counted while there is no list. */
static u32 append(struct hl_card_sg *list, u32 count, struct sg_table *table, u32 bytes)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(table, sg, i) {
		u32 part = min(sg_dma_len(sg), bytes);

		if (!part)
			break;
		if (list)
			list[count] = (struct hl_card_sg){ .address = sg_dma_address(sg), .bytes = part };
		count++;
		bytes -= part;
	}
	return count;
}

static u32 append_planes(struct hl_capture *capture, struct vb2_buffer *vb, struct hl_card_sg *list)
{
	u32 count = 0;
	unsigned int i;

	for (i = 0; i < vb->num_planes; i++)
		count = append(list, count, vb2_plane_cookie(vb, i), capture->shape.memory_bytes[i]);
	return count;
}

static void free_list(struct hl_capture *capture, struct hl_buffer *buffer)
{
	if (buffer->list)
		dma_free_coherent(&capture->pci->dev, buffer->list_bytes, buffer->list, buffer->list_address);
	buffer->list = NULL;
}

static int hl_buf_prepare(struct vb2_buffer *vb)
{
	struct hl_capture *capture = capture_of(vb->vb2_queue);
	struct hl_buffer *buffer = buffer_of(vb);
	u32 count = append_planes(capture, vb, NULL);
	unsigned int i;

	if (count > HL_CARD_SG_MAX)
		return -EINVAL;
	for (i = 0; i < vb->num_planes; i++) {
		if (vb2_plane_size(vb, i) < capture->shape.memory_bytes[i])
			return -EINVAL;
		vb2_set_plane_payload(vb, i, capture->shape.memory_bytes[i]);
	}
	if (!buffer->list || buffer->list_bytes < count * sizeof(*buffer->list)) {
		free_list(capture, buffer);
		buffer->list_bytes = PAGE_ALIGN(count * sizeof(*buffer->list));
		buffer->list = dma_alloc_coherent(&capture->pci->dev, buffer->list_bytes, &buffer->list_address, GFP_KERNEL);
		if (!buffer->list)
			return -ENOMEM;
	}
	buffer->list_count = append_planes(capture, vb, buffer->list);
	buffer->vb.field = V4L2_FIELD_NONE;
	return 0;
}

static void hl_buf_cleanup(struct vb2_buffer *vb)
{
	free_list(capture_of(vb->vb2_queue), buffer_of(vb));
}

static void hl_buf_queue(struct vb2_buffer *vb)
{
	struct hl_capture *capture = capture_of(vb->vb2_queue);
	struct hl_buffer *buffer = buffer_of(vb);
	unsigned long flags;

	spin_lock_irqsave(&capture->active_lock, flags);
	list_add_tail(&buffer->entry, &capture->active);
	if (capture->streaming)
		hl_card_submit(capture, buffer);
	spin_unlock_irqrestore(&capture->active_lock, flags);
}

static int hl_start_streaming(struct vb2_queue *queue, unsigned int count)
{
	hl_card_start(capture_of(queue));
	return 0;
}

static void hl_stop_streaming(struct vb2_queue *queue)
{
	struct hl_capture *capture = capture_of(queue);
	struct hl_buffer *buffer, *next;
	unsigned long flags;

	hl_card_stop(capture);
	spin_lock_irqsave(&capture->active_lock, flags);
	list_for_each_entry_safe(buffer, next, &capture->active, entry) {
		list_del(&buffer->entry);
		vb2_buffer_done(&buffer->vb.vb2_buf, VB2_BUF_STATE_ERROR);
	}
	spin_unlock_irqrestore(&capture->active_lock, flags);
}

static const struct vb2_ops queue_ops = {
	.queue_setup = hl_queue_setup,
	.buf_prepare = hl_buf_prepare,
	.buf_cleanup = hl_buf_cleanup,
	.buf_queue = hl_buf_queue,
	.start_streaming = hl_start_streaming,
	.stop_streaming = hl_stop_streaming,
};

int hl_queue_init(struct hl_capture *capture, bool multiplanar)
{
	struct vb2_queue *queue = &capture->queue;

	queue->type = multiplanar ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE;
	queue->io_modes = VB2_MMAP | VB2_DMABUF | VB2_READ;
	queue->dev = &capture->pci->dev;
	queue->drv_priv = capture;
	queue->ops = &queue_ops;
	queue->mem_ops = &hl_memory_ops;
	queue->buf_struct_size = sizeof(struct hl_buffer);
	queue->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
	queue->min_queued_buffers = 1;
	queue->max_num_buffers = HL_CARD_QUEUE_DEPTH;
	queue->lock = &capture->lock;
	return vb2_queue_init(queue);
}
