// SPDX-License-Identifier: GPL-2.0
/* Formats, sizes, rates: the ioctls of the capture card, in the single- and the multi-planar API. */
#include "capture.h"

#define STRIDE_MAX 16384

static const struct hl_format formats[] = {
	{ V4L2_PIX_FMT_YUYV, HL_CARD_YUYV, 4, 2, 1, 0, 1 },
	{ V4L2_PIX_FMT_UYVY, HL_CARD_UYVY, 4, 2, 1, 0, 1 },
	{ V4L2_PIX_FMT_NV12, HL_CARD_NV12, 2, 2, 2, 1, 1 },
	{ V4L2_PIX_FMT_YUV420, HL_CARD_YU12, 2, 2, 3, 2, 1 },
	{ V4L2_PIX_FMT_GREY, HL_CARD_GREY, 1, 1, 1, 0, 1 },
	{ V4L2_PIX_FMT_RGB24, HL_CARD_RGB3, 3, 1, 1, 0, 1 },
	{ V4L2_PIX_FMT_XBGR32, HL_CARD_XR24, 4, 1, 1, 0, 1 },
	/* Only in the multi-planar API: the last. */
	{ V4L2_PIX_FMT_NV12M, HL_CARD_NV12, 2, 2, 2, 1, 2 },
};

static const u32 rates[] = { 5, 10, 15, 20, 25, 30, 50, 60, 100, 120 };

static unsigned int format_count(bool multiplanar)
{
	return ARRAY_SIZE(formats) - (multiplanar ? 0 : 1);
}

static const struct hl_format *find_format(u32 fourcc, bool multiplanar)
{
	unsigned int i;

	for (i = 0; i < format_count(multiplanar); i++)
		if (formats[i].fourcc == fourcc)
			return &formats[i];
	return NULL;
}

/* Whole pairs of pixels where chroma is shared, as cameras have it. */
static u32 width_step(const struct hl_format *format)
{
	return format->sample_pixels;
}

static u32 height_step(const struct hl_format *format)
{
	return format->planes > 1 ? 2 : 1;
}

/* The shape nearest to what is asked for; stride 0: the smallest. */
void hl_shape_set(struct hl_shape *shape, u32 fourcc, u32 width, u32 height, u32 stride, bool multiplanar)
{
	const struct hl_format *format = find_format(fourcc, multiplanar) ?: &formats[0];
	u32 least, rows, i;

	memset(shape, 0, sizeof(*shape));
	shape->format = format;
	shape->width = round_down(clamp(width, HL_CARD_WIDTH_MIN, HL_CARD_WIDTH_MAX), width_step(format));
	shape->height = round_down(clamp(height, HL_CARD_HEIGHT_MIN, HL_CARD_HEIGHT_MAX), height_step(format));
	least = shape->width / format->sample_pixels * format->sample_bytes;
	shape->stride[0] = clamp(stride, least, STRIDE_MAX);
	if (format->planes > 1)
		shape->stride[0] = ALIGN(shape->stride[0], 2);	/* chroma's is the same, or half of it */
	rows = shape->height;
	for (i = 0; i < format->planes; i++) {
		if (i) {
			shape->stride[i] = shape->stride[0] / format->chroma_stride_div;
			rows = shape->height / 2;
		}
		shape->offset[i] = shape->bytes;
		shape->bytes += shape->stride[i] * rows;
		shape->memory_bytes[min(i, format->memory_planes - 1u)] += shape->stride[i] * rows;
	}
}

static void colours(const struct hl_shape *shape, u32 *colorspace, u32 *quantization)
{
	const bool rgb = shape->format->card == HL_CARD_RGB3 || shape->format->card == HL_CARD_XR24;

	*colorspace = rgb ? V4L2_COLORSPACE_SRGB : V4L2_COLORSPACE_SMPTE170M;
	*quantization = V4L2_QUANTIZATION_DEFAULT;
}

static void fill_single(const struct hl_shape *shape, struct v4l2_pix_format *pix)
{
	memset(pix, 0, sizeof(*pix));
	pix->width = shape->width;
	pix->height = shape->height;
	pix->pixelformat = shape->format->fourcc;
	pix->field = V4L2_FIELD_NONE;
	pix->bytesperline = shape->stride[0];
	pix->sizeimage = shape->bytes;
	colours(shape, &pix->colorspace, &pix->quantization);
}

static void fill_multi(const struct hl_shape *shape, struct v4l2_pix_format_mplane *pix)
{
	u32 colorspace, quantization;
	unsigned int i;

	memset(pix, 0, sizeof(*pix));
	pix->width = shape->width;
	pix->height = shape->height;
	pix->pixelformat = shape->format->fourcc;
	pix->field = V4L2_FIELD_NONE;
	pix->num_planes = shape->format->memory_planes;
	for (i = 0; i < pix->num_planes; i++) {
		pix->plane_fmt[i].bytesperline = shape->stride[i];
		pix->plane_fmt[i].sizeimage = shape->memory_bytes[i];
	}
	colours(shape, &colorspace, &quantization);
	pix->colorspace = colorspace;
	pix->quantization = quantization;
}

static int hl_querycap(struct file *file, void *priv, struct v4l2_capability *cap)
{
	strscpy(cap->driver, "hl_test_capture", sizeof(cap->driver));
	strscpy(cap->card, "gst-habana test capture card", sizeof(cap->card));
	return 0;
}

static bool is_multi(struct hl_capture *capture)
{
	return V4L2_TYPE_IS_MULTIPLANAR(capture->queue.type);
}

static int hl_enum_fmt(struct file *file, void *priv, struct v4l2_fmtdesc *desc)
{
	struct hl_capture *capture = video_drvdata(file);

	if (desc->index >= format_count(is_multi(capture)))
		return -EINVAL;
	desc->pixelformat = formats[desc->index].fourcc;
	return 0;
}

static int hl_g_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	fill_single(&((struct hl_capture *)video_drvdata(file))->shape, &f->fmt.pix);
	return 0;
}

static void shape_from_single(struct hl_shape *shape, const struct v4l2_format *f)
{
	const struct v4l2_pix_format *pix = &f->fmt.pix;

	hl_shape_set(shape, pix->pixelformat, pix->width, pix->height, pix->bytesperline, false);
}

static int hl_try_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	struct hl_shape shape;

	shape_from_single(&shape, f);
	fill_single(&shape, &f->fmt.pix);
	return 0;
}

static int take_shape(struct hl_capture *capture, const struct hl_shape *shape)
{
	if (vb2_is_busy(&capture->queue))
		return -EBUSY;
	capture->shape = *shape;
	return 0;
}

static int hl_s_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	struct hl_shape shape;

	shape_from_single(&shape, f);
	fill_single(&shape, &f->fmt.pix);
	return take_shape(video_drvdata(file), &shape);
}

static int hl_g_fmt_mplane(struct file *file, void *priv, struct v4l2_format *f)
{
	fill_multi(&((struct hl_capture *)video_drvdata(file))->shape, &f->fmt.pix_mp);
	return 0;
}

static void shape_from_multi(struct hl_shape *shape, const struct v4l2_format *f)
{
	const struct v4l2_pix_format_mplane *pix = &f->fmt.pix_mp;

	hl_shape_set(shape, pix->pixelformat, pix->width, pix->height, pix->plane_fmt[0].bytesperline, true);
}

static int hl_try_fmt_mplane(struct file *file, void *priv, struct v4l2_format *f)
{
	struct hl_shape shape;

	shape_from_multi(&shape, f);
	fill_multi(&shape, &f->fmt.pix_mp);
	return 0;
}

static int hl_s_fmt_mplane(struct file *file, void *priv, struct v4l2_format *f)
{
	struct hl_shape shape;

	shape_from_multi(&shape, f);
	fill_multi(&shape, &f->fmt.pix_mp);
	return take_shape(video_drvdata(file), &shape);
}

static int hl_enum_framesizes(struct file *file, void *priv, struct v4l2_frmsizeenum *size)
{
	const struct hl_format *format = find_format(size->pixel_format, is_multi(video_drvdata(file)));

	if (size->index || !format)
		return -EINVAL;
	size->type = V4L2_FRMSIZE_TYPE_STEPWISE;
	size->stepwise = (struct v4l2_frmsize_stepwise){ HL_CARD_WIDTH_MIN,  HL_CARD_WIDTH_MAX,	 width_step(format),
							 HL_CARD_HEIGHT_MIN, HL_CARD_HEIGHT_MAX, height_step(format) };
	return 0;
}

static int hl_enum_frameintervals(struct file *file, void *priv, struct v4l2_frmivalenum *interval)
{
	const bool multiplanar = is_multi(video_drvdata(file));
	struct hl_shape shape;

	if (interval->index >= ARRAY_SIZE(rates) || !find_format(interval->pixel_format, multiplanar))
		return -EINVAL;
	hl_shape_set(&shape, interval->pixel_format, interval->width, interval->height, 0, multiplanar);
	if (shape.width != interval->width || shape.height != interval->height)
		return -EINVAL;
	interval->type = V4L2_FRMIVAL_TYPE_DISCRETE;
	interval->discrete = (struct v4l2_fract){ 1, rates[interval->index] };
	return 0;
}

static u32 rate_of(const struct hl_capture *capture)
{
	return DIV_ROUND_CLOSEST(USEC_PER_SEC, capture->interval);
}

static int hl_g_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct hl_capture *capture = video_drvdata(file);

	if (parm->type != capture->queue.type)
		return -EINVAL;
	parm->parm.capture = (struct v4l2_captureparm){
		.capability = V4L2_CAP_TIMEPERFRAME,
		.timeperframe = { 1, rate_of(capture) },
		.readbuffers = 2,
	};
	return 0;
}

static int hl_s_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct hl_capture *capture = video_drvdata(file);
	const struct v4l2_fract wanted = parm->parm.capture.timeperframe;
	u64 rate = 30;
	u32 best = rates[0], i;

	if (parm->type != capture->queue.type)
		return -EINVAL;
	if (vb2_is_streaming(&capture->queue))
		return -EBUSY;
	if (wanted.numerator && wanted.denominator)
		rate = min_t(u64, div_u64(wanted.denominator + wanted.numerator / 2, wanted.numerator), rates[ARRAY_SIZE(rates) - 1]);
	for (i = 1; i < ARRAY_SIZE(rates); i++)
		if (abs_diff(rate, (u64)rates[i]) < abs_diff(rate, (u64)best))
			best = rates[i];
	capture->interval = USEC_PER_SEC / best;
	return hl_g_parm(file, priv, parm);
}

static int hl_enum_input(struct file *file, void *priv, struct v4l2_input *input)
{
	if (input->index)
		return -EINVAL;
	strscpy(input->name, "generated frames", sizeof(input->name));
	input->type = V4L2_INPUT_TYPE_CAMERA;
	return 0;
}

static int hl_g_input(struct file *file, void *priv, unsigned int *index)
{
	*index = 0;
	return 0;
}

static int hl_s_input(struct file *file, void *priv, unsigned int index)
{
	return index ? -EINVAL : 0;
}

#define COMMON_OPS                                                                                                                                            \
	.vidioc_querycap = hl_querycap, .vidioc_enum_fmt_vid_cap = hl_enum_fmt, .vidioc_enum_framesizes = hl_enum_framesizes,                                  \
	.vidioc_enum_frameintervals = hl_enum_frameintervals, .vidioc_g_parm = hl_g_parm, .vidioc_s_parm = hl_s_parm, .vidioc_enum_input = hl_enum_input,      \
	.vidioc_g_input = hl_g_input, .vidioc_s_input = hl_s_input, .vidioc_reqbufs = vb2_ioctl_reqbufs, .vidioc_create_bufs = vb2_ioctl_create_bufs,          \
	.vidioc_remove_bufs = vb2_ioctl_remove_bufs, .vidioc_querybuf = vb2_ioctl_querybuf, .vidioc_prepare_buf = vb2_ioctl_prepare_buf,                       \
	.vidioc_expbuf = vb2_ioctl_expbuf, .vidioc_qbuf = vb2_ioctl_qbuf, .vidioc_dqbuf = vb2_ioctl_dqbuf, .vidioc_streamon = vb2_ioctl_streamon,              \
	.vidioc_streamoff = vb2_ioctl_streamoff

const struct v4l2_ioctl_ops hl_single_ioctl_ops = {
	COMMON_OPS,
	.vidioc_g_fmt_vid_cap = hl_g_fmt,
	.vidioc_try_fmt_vid_cap = hl_try_fmt,
	.vidioc_s_fmt_vid_cap = hl_s_fmt,
};

const struct v4l2_ioctl_ops hl_multi_ioctl_ops = {
	COMMON_OPS,
	.vidioc_g_fmt_vid_cap_mplane = hl_g_fmt_mplane,
	.vidioc_try_fmt_vid_cap_mplane = hl_try_fmt_mplane,
	.vidioc_s_fmt_vid_cap_mplane = hl_s_fmt_mplane,
};
