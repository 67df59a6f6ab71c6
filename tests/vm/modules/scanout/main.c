// SPDX-License-Identifier: GPL-2.0
/* The scan-out engine on the PCI bus, and how it is made to read a frame. */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_debugfs_crc.h>
#include <drm/drm_drv.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_gem_framebuffer_helper.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>
#include <drm/drm_vblank.h>

#include "scanout.h"

#define READ_SECONDS 10

static u32 get(struct hl_scanout *scanout, u32 offset)
{
	return ioread32(scanout->registers + offset);
}

static void set(struct hl_scanout *scanout, u32 offset, u32 value)
{
	iowrite32(value, scanout->registers + offset);
}

/* The list that the engine walks: a framebuffer's objects one after the other. */
struct hl_walk {
	struct hl_card_sg *list;	/* NULL: only count */
	u32 count;
	u64 bytes;
};

static int append(struct hl_walk *walk, struct drm_gem_object *object)
{
	struct sg_table *table = hl_object_table(object);
	struct scatterlist *sg;
	unsigned int i;

	if (IS_ERR(table))
		return PTR_ERR(table);
	for_each_sgtable_dma_sg(table, sg, i) {
		if (walk->count == HL_CARD_SG_MAX)
			return -E2BIG;
		if (walk->list)
			walk->list[walk->count] = (struct hl_card_sg){ .address = sg_dma_address(sg), .bytes = sg_dma_len(sg) };
		walk->count++;
	}
	walk->bytes += object->size;
	return 0;
}

/* Appends each object once; where the planes begin goes into `offsets`. */
static int walk_objects(struct hl_walk *walk, struct drm_framebuffer *fb, u64 offsets[])
{
	u32 plane, other;
	int ret;

	for (plane = 0; plane < fb->format->num_planes; plane++) {
		for (other = 0; other < plane && fb->obj[other] != fb->obj[plane]; other++)
			;
		if (other < plane) {
			offsets[plane] = offsets[other] - fb->offsets[other] + fb->offsets[plane];
			continue;
		}
		offsets[plane] = walk->bytes + fb->offsets[plane];
		ret = append(walk, fb->obj[plane]);
		if (ret)
			return ret;
	}
	return walk->bytes > U32_MAX ? -E2BIG : 0;
}

int hl_engine_check(struct drm_framebuffer *fb)
{
	struct hl_walk walk = { };
	u64 offsets[HL_CARD_PLANES_MAX];

	return walk_objects(&walk, fb, offsets);
}

static void describe(struct hl_scanout *scanout, struct drm_framebuffer *fb, const struct hl_walk *walk, const u64 offsets[])
{
	u32 plane;

	set(scanout, HL_CARD_FORMAT, fb->format->format);
	set(scanout, HL_CARD_WIDTH, fb->width);
	set(scanout, HL_CARD_HEIGHT, fb->height);
	set(scanout, HL_CARD_FRAME_BYTES, walk->bytes);
	for (plane = 0; plane < fb->format->num_planes; plane++) {
		set(scanout, HL_CARD_OFFSET(plane), offsets[plane]);
		set(scanout, HL_CARD_STRIDE(plane), fb->pitches[plane]);
	}
	set(scanout, HL_CARD_SG_LOW, lower_32_bits(scanout->list_address));
	set(scanout, HL_CARD_SG_HIGH, upper_32_bits(scanout->list_address));
	set(scanout, HL_CARD_SG_COUNT, walk->count);
}

static void record(struct hl_scanout *scanout, struct drm_framebuffer *fb, u32 error, u32 crc)
{
	mutex_lock(&scanout->log_lock);
	scanout->log[scanout->shown % HL_LOG_ENTRIES] = (struct hl_shown){
		.number = scanout->shown,
		.format = fb->format->format,
		.width = fb->width,
		.height = fb->height,
		.crc = crc,
		.error = error,
		.imported = drm_gem_is_imported(fb->obj[0]),
	};
	scanout->shown++;
	mutex_unlock(&scanout->log_lock);
	if (error)
		drm_err(&scanout->drm, "a frame could not be read: error %u\n", error);
	else
		drm_crtc_add_crc_entry(&scanout->crtc, true, scanout->shown - 1, &crc);
}

/* An engine that has not answered may still read: its buffers must stay, and nobody waits for it again. */
static void give_up(struct hl_scanout *scanout)
{
	drm_err(&scanout->drm, "the engine has not read a frame within %u s\n", READ_SECONDS);
	scanout->stuck = true;
	pci_clear_master(to_pci_dev(scanout->drm.dev));
}

void hl_engine_read(struct hl_scanout *scanout, struct drm_framebuffer *fb)
{
	struct hl_walk walk = { .list = scanout->list };
	u64 offsets[HL_CARD_PLANES_MAX];
	int index;

	if (scanout->stuck || !drm_dev_enter(&scanout->drm, &index))
		return;
	if (!walk_objects(&walk, fb, offsets)) {
		describe(scanout, fb, &walk, offsets);
		reinit_completion(&scanout->done);
		set(scanout, HL_CARD_COOKIE, scanout->shown);
		set(scanout, HL_CARD_DOORBELL, 1);
		if (wait_for_completion_timeout(&scanout->done, READ_SECONDS * HZ)) {
			record(scanout, fb, get(scanout, HL_CARD_DONE_ERROR), get(scanout, HL_CARD_DONE_CRC));
			set(scanout, HL_CARD_DONE_POP, 1);
		} else {
			give_up(scanout);
		}
	}
	drm_dev_exit(index);
}

static irqreturn_t hl_interrupt(int irq, void *data)
{
	struct hl_scanout *scanout = data;
	u32 status = get(scanout, HL_CARD_IRQ_STATUS);

	if (!status || status == ~0u)
		return IRQ_NONE;
	set(scanout, HL_CARD_IRQ_STATUS, status);
	complete(&scanout->done);
	return IRQ_HANDLED;
}

DEFINE_DRM_GEM_FOPS(file_ops);

static const struct drm_driver drm_driver = {
	.driver_features = DRIVER_GEM | DRIVER_MODESET | DRIVER_ATOMIC,
	.fops = &file_ops,
	.name = "hl_test_scanout",
	.desc = "gst-habana test scan-out engine",
	.major = 1,
	.gem_prime_import = hl_import,
	.dumb_create = drm_gem_shmem_dumb_create,
};

static int start_engine(struct hl_scanout *scanout, struct pci_dev *pci)
{
	int ret;

	if (get(scanout, HL_CARD_ID) != HL_SCANOUT_ID || get(scanout, HL_CARD_VERSION_REG) != HL_CARD_VERSION) {
		dev_err(&pci->dev, "not a scan-out engine of version %u\n", HL_CARD_VERSION);
		return -ENODEV;
	}
	scanout->list = dmam_alloc_coherent(&pci->dev, HL_CARD_SG_MAX * sizeof(*scanout->list), &scanout->list_address, GFP_KERNEL);
	if (!scanout->list)
		return -ENOMEM;
	ret = pci_alloc_irq_vectors(pci, 1, 1, PCI_IRQ_MSI);
	if (ret < 0)
		return ret;
	ret = devm_request_irq(&pci->dev, pci_irq_vector(pci, 0), hl_interrupt, 0, KBUILD_MODNAME, scanout);
	if (ret)
		return ret;
	set(scanout, HL_CARD_IRQ_ENABLE, HL_CARD_IRQ_DONE);
	set(scanout, HL_CARD_CONTROL, HL_CARD_CONTROL_RUN);
	return 0;
}

static int map_engine(struct hl_scanout *scanout, struct pci_dev *pci)
{
	int ret = pcim_enable_device(pci);

	if (ret)
		return ret;
	scanout->registers = pcim_iomap_region(pci, HL_CARD_BAR, KBUILD_MODNAME);
	if (IS_ERR(scanout->registers))
		return PTR_ERR(scanout->registers);
	ret = dma_set_mask_and_coherent(&pci->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	/* Entries of peer memory come as large as the exporter has them, instead of in pieces of 64 KiB. */
	dma_set_max_seg_size(&pci->dev, UINT_MAX);
	pci_set_master(pci);
	return 0;
}

static int hl_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct hl_scanout *scanout = devm_drm_dev_alloc(&pci->dev, &drm_driver, struct hl_scanout, drm);
	int ret;

	if (IS_ERR(scanout))
		return PTR_ERR(scanout);
	init_completion(&scanout->done);
	ret = drmm_mutex_init(&scanout->drm, &scanout->log_lock);
	if (ret)
		return ret;
	pci_set_drvdata(pci, scanout);
	ret = map_engine(scanout, pci);
	if (ret)
		return ret;
	ret = start_engine(scanout, pci);
	if (ret)
		return ret;
	ret = hl_kms_init(scanout);
	if (ret)
		return ret;
	return drm_dev_register(&scanout->drm, 0);
}

static void hl_remove(struct pci_dev *pci)
{
	struct hl_scanout *scanout = pci_get_drvdata(pci);

	drm_dev_unplug(&scanout->drm);
	drm_atomic_helper_shutdown(&scanout->drm);
	set(scanout, HL_CARD_CONTROL, 0);
}

static const struct pci_device_id ids[] = {
	{ PCI_DEVICE(HL_SCANOUT_VENDOR, HL_SCANOUT_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, ids);

static struct pci_driver scanout_driver = {
	.name = "hl_test_scanout",
	.id_table = ids,
	.probe = hl_probe,
	.remove = hl_remove,
};
module_pci_driver(scanout_driver);

MODULE_DESCRIPTION("Test-only KMS driver of gst-habana's emulated scan-out engine");
MODULE_LICENSE("GPL");
