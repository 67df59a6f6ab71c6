// SPDX-License-Identifier: GPL-2.0
/*
 * dma-bufs from elsewhere. Imported dynamically, with peer memory allowed; or, with allow_peer2peer=0, without. Pinned and mapped at the import and until its end, so
 * that what cannot be read is refused there (PRIME_FD_TO_HANDLE), and nothing has to follow a move.
 */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/drm_prime.h>

#include "scanout.h"

static bool allow_peer2peer = true;
module_param(allow_peer2peer, bool, 0644);
MODULE_PARM_DESC(allow_peer2peer, "let imported memory be a peer's (default); 0: only host memory. Obeyed at the next import");

struct hl_imported {
	struct drm_gem_object base;
	struct sg_table *table;
};

static const struct dma_buf_attach_ops peer_ops = { .allow_peer2peer = true };
static const struct dma_buf_attach_ops host_ops = { .allow_peer2peer = false };

static void hl_imported_free(struct drm_gem_object *object)
{
	struct hl_imported *imported = container_of(object, struct hl_imported, base);
	struct dma_buf_attachment *attachment = object->import_attach;
	struct dma_buf *dmabuf = attachment->dmabuf;

	dma_resv_lock(dmabuf->resv, NULL);
	dma_buf_unmap_attachment(attachment, imported->table, DMA_TO_DEVICE);
	dma_buf_unpin(attachment);
	dma_resv_unlock(dmabuf->resv);
	dma_buf_detach(dmabuf, attachment);
	drm_gem_object_release(object);
	dma_buf_put(dmabuf);
	kfree(imported);
}

static const struct drm_gem_object_funcs imported_funcs = { .free = hl_imported_free };

static int pin_and_map(struct hl_imported *imported, struct dma_buf_attachment *attachment)
{
	struct sg_table *table;
	int ret = dma_buf_pin(attachment);

	if (ret)
		return ret;
	table = dma_buf_map_attachment(attachment, DMA_TO_DEVICE);
	if (IS_ERR(table)) {
		dma_buf_unpin(attachment);
		return PTR_ERR(table);
	}
	imported->table = table;
	return 0;
}

static int attach(struct hl_imported *imported, struct drm_device *drm, struct dma_buf *dmabuf)
{
	struct dma_buf_attachment *attachment =
		dma_buf_dynamic_attach(dmabuf, drm->dev, READ_ONCE(allow_peer2peer) ? &peer_ops : &host_ops, imported);
	int ret;

	if (IS_ERR(attachment))
		return PTR_ERR(attachment);
	dma_resv_lock(dmabuf->resv, NULL);
	ret = pin_and_map(imported, attachment);
	dma_resv_unlock(dmabuf->resv);
	if (ret) {
		dma_buf_detach(dmabuf, attachment);
		return ret;
	}
	imported->base.import_attach = attachment;
	return 0;
}

struct drm_gem_object *hl_import(struct drm_device *drm, struct dma_buf *dmabuf)
{
	struct hl_imported *imported;
	int ret;

	if (drm_gem_is_prime_exported_dma_buf(drm, dmabuf)) {
		struct drm_gem_object *own = dmabuf->priv;

		drm_gem_object_get(own);
		return own;
	}
	if (!PAGE_ALIGNED(dmabuf->size))
		return ERR_PTR(-EINVAL);
	imported = kzalloc(sizeof(*imported), GFP_KERNEL);
	if (!imported)
		return ERR_PTR(-ENOMEM);
	ret = attach(imported, drm, dmabuf);
	if (ret) {
		kfree(imported);
		return ERR_PTR(ret);
	}
	get_dma_buf(dmabuf);
	imported->base.funcs = &imported_funcs;
	drm_gem_private_object_init(drm, &imported->base, dmabuf->size);
	imported->base.resv = dmabuf->resv;
	return &imported->base;
}

struct sg_table *hl_object_table(struct drm_gem_object *object)
{
	if (object->funcs == &imported_funcs)
		return container_of(object, struct hl_imported, base)->table;
	return drm_gem_shmem_get_pages_sgt(to_drm_gem_shmem_obj(object));
}

MODULE_IMPORT_NS("DMA_BUF");
