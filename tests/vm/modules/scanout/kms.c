// SPDX-License-Identifier: GPL-2.0
/*
 * One CRTC, one primary plane, one connector that is always there. Nobody looks at it, so that a frame may be of any size anywhere on the screen: what counts is that the
 * engine reads all of it once, before the commit ends. Vertical blanks come from a timer.
 */
#include <linux/seq_file.h>
#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_debugfs.h>
#include <drm/drm_edid.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_gem_atomic_helper.h>
#include <drm/drm_gem_framebuffer_helper.h>
#include <drm/drm_modeset_helper_vtables.h>
#include <drm/drm_print.h>
#include <drm/drm_probe_helper.h>
#include <drm/drm_vblank.h>
#include <drm/drm_vblank_helper.h>

#include "scanout.h"

/* Named alike by DRM and the card. */
static const u32 plane_formats[] = { DRM_FORMAT_XRGB8888, DRM_FORMAT_NV12, DRM_FORMAT_YUYV, DRM_FORMAT_UYVY, DRM_FORMAT_YUV420 };

static int hl_plane_check(struct drm_plane *plane, struct drm_atomic_commit *commit)
{
	struct drm_plane_state *state = drm_atomic_get_new_plane_state(commit, plane);
	struct drm_crtc_state *crtc_state = state->crtc ? drm_atomic_get_new_crtc_state(commit, state->crtc) : NULL;

	return drm_atomic_helper_check_plane_state(state, crtc_state, 1, INT_MAX, true, true);
}

static int hl_plane_prepare(struct drm_plane *plane, struct drm_plane_state *state)
{
	int ret;

	if (!state->fb)
		return 0;
	ret = hl_engine_check(state->fb);
	return ret ? ret : drm_gem_plane_helper_prepare_fb(plane, state);
}

static void hl_plane_update(struct drm_plane *plane, struct drm_atomic_commit *commit)
{
	struct drm_framebuffer *fb = plane->state->fb;

	if (fb && fb != drm_atomic_get_old_plane_state(commit, plane)->fb)
		hl_engine_read(scanout_of(plane->dev), fb);
}

static const struct drm_plane_helper_funcs plane_helper_funcs = {
	.atomic_check = hl_plane_check,
	.prepare_fb = hl_plane_prepare,
	.atomic_update = hl_plane_update,
};

static const struct drm_plane_funcs plane_funcs = {
	.update_plane = drm_atomic_helper_update_plane,
	.disable_plane = drm_atomic_helper_disable_plane,
	.destroy = drm_plane_cleanup,
	.reset = drm_atomic_helper_plane_reset,
	.atomic_duplicate_state = drm_atomic_helper_plane_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_plane_destroy_state,
};

static const char *const crc_sources[] = { "auto" };

static const char *const *hl_crc_sources(struct drm_crtc *crtc, size_t *count)
{
	*count = ARRAY_SIZE(crc_sources);
	return crc_sources;
}

static int hl_verify_crc_source(struct drm_crtc *crtc, const char *source, size_t *values)
{
	if (source && strcmp(source, "auto"))
		return -EINVAL;
	*values = 1;
	return 0;
}

static int hl_set_crc_source(struct drm_crtc *crtc, const char *source)
{
	size_t values;

	return hl_verify_crc_source(crtc, source, &values);
}

static const struct drm_crtc_funcs crtc_funcs = {
	.reset = drm_atomic_helper_crtc_reset,
	.destroy = drm_crtc_cleanup,
	.set_config = drm_atomic_helper_set_config,
	.page_flip = drm_atomic_helper_page_flip,
	.atomic_duplicate_state = drm_atomic_helper_crtc_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_crtc_destroy_state,
	.get_crc_sources = hl_crc_sources,
	.set_crc_source = hl_set_crc_source,
	.verify_crc_source = hl_verify_crc_source,
	DRM_CRTC_VBLANK_TIMER_FUNCS,
};

static const struct drm_crtc_helper_funcs crtc_helper_funcs = {
	DRM_CRTC_HELPER_VBLANK_FUNCS,
};

static const struct drm_encoder_funcs encoder_funcs = { .destroy = drm_encoder_cleanup };

static int hl_get_modes(struct drm_connector *connector)
{
	int count = drm_add_modes_noedid(connector, HL_CARD_WIDTH_MAX, HL_CARD_HEIGHT_MAX);

	drm_set_preferred_mode(connector, 1024, 768);
	return count;
}

static const struct drm_connector_helper_funcs connector_helper_funcs = { .get_modes = hl_get_modes };

static const struct drm_connector_funcs connector_funcs = {
	.fill_modes = drm_helper_probe_single_connector_modes,
	.destroy = drm_connector_cleanup,
	.reset = drm_atomic_helper_connector_reset,
	.atomic_duplicate_state = drm_atomic_helper_connector_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_connector_destroy_state,
};

static const struct drm_mode_config_funcs mode_config_funcs = {
	.fb_create = drm_gem_fb_create,
	.atomic_check = drm_atomic_helper_check,
	.atomic_commit = drm_atomic_helper_commit,
};

/* debugfs "frames": what was read, the oldest first. */
static int show_frames(struct seq_file *file, void *data)
{
	struct drm_debugfs_entry *entry = file->private;
	struct hl_scanout *scanout = scanout_of(entry->dev);
	u32 i;

	seq_puts(file, "# number format size memory crc error\n");
	mutex_lock(&scanout->log_lock);
	for (i = scanout->shown > HL_LOG_ENTRIES ? scanout->shown - HL_LOG_ENTRIES : 0; i < scanout->shown; i++) {
		const struct hl_shown *shown = &scanout->log[i % HL_LOG_ENTRIES];

		seq_printf(file, "%u %.4s %ux%u %s %08x %u\n", shown->number, (const char *)&shown->format, shown->width, shown->height,
			   shown->imported ? "imported" : "own", shown->crc, shown->error);
	}
	mutex_unlock(&scanout->log_lock);
	return 0;
}

static int init_objects(struct hl_scanout *scanout)
{
	struct drm_device *drm = &scanout->drm;
	int ret = drm_universal_plane_init(drm, &scanout->plane, 1, &plane_funcs, plane_formats, ARRAY_SIZE(plane_formats), NULL, DRM_PLANE_TYPE_PRIMARY, NULL);

	if (ret)
		return ret;
	drm_plane_helper_add(&scanout->plane, &plane_helper_funcs);
	ret = drm_crtc_init_with_planes(drm, &scanout->crtc, &scanout->plane, NULL, &crtc_funcs, NULL);
	if (ret)
		return ret;
	drm_crtc_helper_add(&scanout->crtc, &crtc_helper_funcs);
	ret = drm_encoder_init(drm, &scanout->encoder, &encoder_funcs, DRM_MODE_ENCODER_VIRTUAL, NULL);
	if (ret)
		return ret;
	scanout->encoder.possible_crtcs = drm_crtc_mask(&scanout->crtc);
	ret = drm_connector_init(drm, &scanout->connector, &connector_funcs, DRM_MODE_CONNECTOR_VIRTUAL);
	if (ret)
		return ret;
	drm_connector_helper_add(&scanout->connector, &connector_helper_funcs);
	return drm_connector_attach_encoder(&scanout->connector, &scanout->encoder);
}

int hl_kms_init(struct hl_scanout *scanout)
{
	struct drm_device *drm = &scanout->drm;
	int ret = drmm_mode_config_init(drm);

	if (ret)
		return ret;
	drm->mode_config.min_width = HL_CARD_WIDTH_MIN;
	drm->mode_config.min_height = HL_CARD_HEIGHT_MIN;
	drm->mode_config.max_width = HL_CARD_WIDTH_MAX;
	drm->mode_config.max_height = HL_CARD_HEIGHT_MAX;
	drm->mode_config.preferred_depth = 24;
	drm->mode_config.funcs = &mode_config_funcs;
	ret = init_objects(scanout);
	if (ret)
		return ret;
	ret = drm_vblank_init(drm, 1);
	if (ret)
		return ret;
	drm_mode_config_reset(drm);
	drm_debugfs_add_file(drm, "frames", show_frames, NULL);
	return 0;
}
