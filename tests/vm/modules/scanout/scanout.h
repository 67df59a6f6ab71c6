/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KMS driver of the emulated scan-out engine (tests/gaudi-emulator/card/scanoutregs.h). Test-only.
 *
 * main.c    the PCI device, and the engine's reading of frames
 * kms.c     one CRTC with one plane; what it shows, the engine reads once
 * import.c  dma-bufs imported for peer-to-peer
 */
#ifndef HL_TEST_SCANOUT_H
#define HL_TEST_SCANOUT_H

#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <drm/drm_connector.h>
#include <drm/drm_crtc.h>
#include <drm/drm_device.h>
#include <drm/drm_encoder.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_gem.h>
#include <drm/drm_plane.h>

#include "scanoutregs.h"

#define HL_LOG_ENTRIES 256

/* What the engine said of a frame. */
struct hl_shown {
	u32 number, format, width, height, crc, error;
	bool imported;
};

struct hl_scanout {
	struct drm_device drm;
	struct drm_plane plane;
	struct drm_crtc crtc;
	struct drm_encoder encoder;
	struct drm_connector connector;

	void __iomem *registers;
	struct hl_card_sg *list;	/* HL_CARD_SG_MAX entries */
	dma_addr_t list_address;
	struct completion done;
	bool stuck;			/* the engine did not answer once: it is asked no more */

	struct mutex log_lock;
	struct hl_shown log[HL_LOG_ENTRIES];
	u32 shown;
};

static inline struct hl_scanout *scanout_of(struct drm_device *drm)
{
	return container_of(drm, struct hl_scanout, drm);
}

/* kms.c */
int hl_kms_init(struct hl_scanout *scanout);

/* import.c */
struct drm_gem_object *hl_import(struct drm_device *drm, struct dma_buf *dmabuf);
/* Where an object lies on the bus. */
struct sg_table *hl_object_table(struct drm_gem_object *object);

/* main.c: makes the engine read a frame; may sleep. The list is checked before. */
void hl_engine_read(struct hl_scanout *scanout, struct drm_framebuffer *fb);
int hl_engine_check(struct drm_framebuffer *fb);

#endif
