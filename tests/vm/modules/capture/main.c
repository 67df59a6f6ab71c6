// SPDX-License-Identifier: GPL-2.0
/* The capture card on the PCI bus: registers, interrupt, and its life. */
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "capture.h"

#define STOP_SECONDS 10

static bool multiplanar;
module_param(multiplanar, bool, 0444);
MODULE_PARM_DESC(multiplanar, "offer the multi-planar API, and with it NV12M (default: the single-planar API)");

static bool unpaced;
module_param(unpaced, bool, 0644);
MODULE_PARM_DESC(unpaced, "frames as fast as buffers come, whatever the frame interval. Obeyed at the next start");

static u32 get(struct hl_capture *capture, u32 offset)
{
	return ioread32(capture->registers + offset);
}

static void set(struct hl_capture *capture, u32 offset, u32 value)
{
	iowrite32(value, capture->registers + offset);
}

void hl_card_submit(struct hl_capture *capture, struct hl_buffer *buffer)
{
	lockdep_assert_held(&capture->active_lock);
	set(capture, HL_CARD_SG_LOW, lower_32_bits(buffer->list_address));
	set(capture, HL_CARD_SG_HIGH, upper_32_bits(buffer->list_address));
	set(capture, HL_CARD_SG_COUNT, buffer->list_count);
	set(capture, HL_CARD_COOKIE, buffer->vb.vb2_buf.index);
	set(capture, HL_CARD_DOORBELL, 1);
}

void hl_card_start(struct hl_capture *capture)
{
	const struct hl_shape *shape = &capture->shape;
	struct hl_buffer *buffer;
	unsigned long flags;
	u32 i;

	set(capture, HL_CARD_FORMAT, shape->format->card);
	set(capture, HL_CARD_WIDTH, shape->width);
	set(capture, HL_CARD_HEIGHT, shape->height);
	set(capture, HL_CARD_FRAME_BYTES, shape->bytes);
	for (i = 0; i < shape->format->planes; i++) {
		set(capture, HL_CARD_OFFSET(i), shape->offset[i]);
		set(capture, HL_CARD_STRIDE(i), shape->stride[i]);
	}
	set(capture, HL_CAPTURE_INTERVAL, READ_ONCE(unpaced) ? 0 : capture->interval);
	set(capture, HL_CARD_IRQ_STATUS, ~0u);
	set(capture, HL_CARD_IRQ_ENABLE, HL_CARD_IRQ_DONE | HL_CARD_IRQ_IDLE);
	reinit_completion(&capture->idle);
	spin_lock_irqsave(&capture->active_lock, flags);
	list_for_each_entry(buffer, &capture->active, entry)
		hl_card_submit(capture, buffer);
	capture->streaming = true;
	set(capture, HL_CARD_CONTROL, HL_CARD_CONTROL_RUN);
	spin_unlock_irqrestore(&capture->active_lock, flags);
}

/* Returns when the card touches no buffer any more. A card that does not say so in time loses the bus. */
void hl_card_stop(struct hl_capture *capture)
{
	unsigned long flags;

	spin_lock_irqsave(&capture->active_lock, flags);
	capture->streaming = false;
	set(capture, HL_CARD_CONTROL, 0);
	spin_unlock_irqrestore(&capture->active_lock, flags);
	if (get(capture, HL_CARD_ID) != HL_CAPTURE_ID)
		return;		/* it is gone: all ones */
	if (!wait_for_completion_timeout(&capture->idle, STOP_SECONDS * HZ) && get(capture, HL_CARD_STATUS) & HL_CARD_STATUS_BUSY) {
		dev_err(&capture->pci->dev, "the card has not stopped within %u s\n", STOP_SECONDS);
		pci_clear_master(capture->pci);
	}
}

static const char *error_name(u32 error)
{
	switch (error) {
	case HL_CARD_ERROR_BUS:
		return "nobody answered on the bus";
	case HL_CARD_ERROR_STALL:
		return "the buffer's list was too short";
	case HL_CARD_ERROR_LAYOUT:
		return "the frame's layout made no sense";
	case HL_CARD_ERROR_QUEUE:
		return "the queue was full";
	default:
		return "an unknown error";
	}
}

static void give_back(struct hl_capture *capture)
{
	u32 cookie = get(capture, HL_CARD_DONE_COOKIE), error = get(capture, HL_CARD_DONE_ERROR), number = get(capture, HL_CARD_DONE_NUMBER);
	struct hl_buffer *buffer;

	set(capture, HL_CARD_DONE_POP, 1);
	list_for_each_entry(buffer, &capture->active, entry) {
		if (buffer->vb.vb2_buf.index != cookie)
			continue;
		if (error)
			dev_err_ratelimited(&capture->pci->dev, "frame %u into buffer %u: %s\n", number, cookie, error_name(error));
		list_del(&buffer->entry);
		buffer->vb.sequence = number;
		buffer->vb.vb2_buf.timestamp = ktime_get_ns();
		vb2_buffer_done(&buffer->vb.vb2_buf, error ? VB2_BUF_STATE_ERROR : VB2_BUF_STATE_DONE);
		return;
	}
}

/* A card that is gone reads as all ones. */
static irqreturn_t hl_interrupt(int irq, void *data)
{
	struct hl_capture *capture = data;
	u32 status = get(capture, HL_CARD_IRQ_STATUS);
	unsigned int left = 2 * HL_CARD_QUEUE_DEPTH;

	if (!status || status == ~0u)
		return IRQ_NONE;
	set(capture, HL_CARD_IRQ_STATUS, status);
	spin_lock(&capture->active_lock);
	while (capture->streaming && left-- && get(capture, HL_CARD_DONE_COUNT))
		give_back(capture);
	spin_unlock(&capture->active_lock);
	if (status & HL_CARD_IRQ_IDLE)
		complete(&capture->idle);
	return IRQ_HANDLED;
}

static const struct v4l2_file_operations file_ops = {
	.owner = THIS_MODULE,
	.open = v4l2_fh_open,
	.release = vb2_fop_release,
	.unlocked_ioctl = video_ioctl2,
	.poll = vb2_fop_poll,
	.mmap = vb2_fop_mmap,
	.read = vb2_fop_read,
};

/* After the last file has been closed, which may be long after the card was pulled out. */
static void hl_release(struct v4l2_device *v4l2)
{
	struct hl_capture *capture = container_of(v4l2, struct hl_capture, v4l2);

	v4l2_device_unregister(v4l2);
	mutex_destroy(&capture->lock);
	kfree(capture);
}

static int register_video(struct hl_capture *capture)
{
	struct video_device *video = &capture->video;

	strscpy(video->name, "hl-test-capture", sizeof(video->name));
	video->v4l2_dev = &capture->v4l2;
	video->fops = &file_ops;
	video->ioctl_ops = multiplanar ? &hl_multi_ioctl_ops : &hl_single_ioctl_ops;
	video->release = video_device_release_empty;
	video->queue = &capture->queue;
	video->lock = &capture->lock;
	video->device_caps = V4L2_CAP_STREAMING | V4L2_CAP_READWRITE | (multiplanar ? V4L2_CAP_VIDEO_CAPTURE_MPLANE : V4L2_CAP_VIDEO_CAPTURE);
	video_set_drvdata(video, capture);
	return video_register_device(video, VFL_TYPE_VIDEO, -1);
}

static int map_card(struct hl_capture *capture)
{
	struct pci_dev *pci = capture->pci;
	int ret = pci_enable_device(pci);

	if (ret)
		return ret;
	/* Not requested: CONFIG_IO_STRICT_DEVMEM would keep tests from reading the card's log past this driver (drivers/pci/pci-sysfs.c pci_mmap_resource()). */
	capture->registers = pci_iomap(pci, HL_CARD_BAR, HL_CARD_BAR_BYTES);
	ret = capture->registers ? dma_set_mask_and_coherent(&pci->dev, DMA_BIT_MASK(64)) : -ENOMEM;
	if (ret)
		goto unmap;
	if (get(capture, HL_CARD_ID) != HL_CAPTURE_ID || get(capture, HL_CARD_VERSION_REG) != HL_CARD_VERSION) {
		dev_err(&pci->dev, "not a capture card of version %u\n", HL_CARD_VERSION);
		ret = -ENODEV;
		goto unmap;
	}
	/* Entries of peer memory come as large as the exporter has them, instead of in pieces of 64 KiB. */
	dma_set_max_seg_size(&pci->dev, UINT_MAX);
	pci_set_master(pci);
	return 0;
unmap:
	if (capture->registers)
		pci_iounmap(pci, capture->registers);
	pci_disable_device(pci);
	return ret;
}

static void unmap_card(struct hl_capture *capture)
{
	pci_clear_master(capture->pci);
	pci_iounmap(capture->pci, capture->registers);
	pci_disable_device(capture->pci);
}

static int enable_interrupt(struct hl_capture *capture)
{
	int ret = pci_alloc_irq_vectors(capture->pci, 1, 1, PCI_IRQ_MSI);

	if (ret < 0)
		return ret;
	capture->irq = pci_irq_vector(capture->pci, 0);
	ret = request_irq(capture->irq, hl_interrupt, 0, KBUILD_MODNAME, capture);
	if (ret)
		pci_free_irq_vectors(capture->pci);
	return ret;
}

static void disable_interrupt(struct hl_capture *capture)
{
	free_irq(capture->irq, capture);
	pci_free_irq_vectors(capture->pci);
}

static struct hl_capture *make(struct pci_dev *pci)
{
	struct hl_capture *capture = kzalloc(sizeof(*capture), GFP_KERNEL);

	if (!capture)
		return NULL;
	capture->pci = pci;
	capture->interval = HL_CAPTURE_INTERVAL_DEFAULT;
	mutex_init(&capture->lock);
	spin_lock_init(&capture->active_lock);
	INIT_LIST_HEAD(&capture->active);
	init_completion(&capture->idle);
	hl_shape_set(&capture->shape, V4L2_PIX_FMT_YUYV, 640, 480, 0, multiplanar);
	return capture;
}

static int hl_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct hl_capture *capture = make(pci);
	int ret;

	if (!capture)
		return -ENOMEM;
	capture->v4l2.release = hl_release;
	ret = v4l2_device_register(&pci->dev, &capture->v4l2);
	if (ret) {
		kfree(capture);
		return ret;
	}
	/* From here on the last reference frees it. */
	ret = map_card(capture);
	if (ret)
		goto put;
	ret = enable_interrupt(capture);
	if (ret)
		goto unmap;
	ret = hl_queue_init(capture, multiplanar);
	if (ret)
		goto disable;
	ret = register_video(capture);
	if (ret)
		goto disable;
	dev_info(&pci->dev, "capture card: %s\n", video_device_node_name(&capture->video));
	return 0;
disable:
	disable_interrupt(capture);
unmap:
	unmap_card(capture);
put:
	v4l2_device_disconnect(&capture->v4l2);
	v4l2_device_put(&capture->v4l2);
	return ret;
}

/* Ends all streaming first, while the card can still be told. */
static void hl_remove(struct pci_dev *pci)
{
	struct v4l2_device *v4l2 = pci_get_drvdata(pci);
	struct hl_capture *capture = container_of(v4l2, struct hl_capture, v4l2);

	vb2_video_unregister_device(&capture->video);
	disable_interrupt(capture);
	unmap_card(capture);
	v4l2_device_disconnect(v4l2);
	v4l2_device_put(v4l2);
}

static const struct pci_device_id ids[] = {
	{ PCI_DEVICE(HL_CAPTURE_VENDOR, HL_CAPTURE_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, ids);

static struct pci_driver capture_driver = {
	.name = "hl_test_capture",
	.id_table = ids,
	.probe = hl_probe,
	.remove = hl_remove,
};
module_pci_driver(capture_driver);

MODULE_DESCRIPTION("Test-only V4L2 driver of gst-habana's emulated capture card");
MODULE_LICENSE("GPL");
