// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of the capture queue. Of its own it has what vb2-dma-sg allocates. A dma-buf is imported dynamically, as peer-to-peer needs and no driver in the kernel's media
 * tree does; or, with allow_peer2peer=0, by vb2-dma-sg, as they all do.
 *
 * The imported memory is pinned while it is mapped, so that there is no invalidate_mappings callback: dma_buf_invalidate_mappings() (drivers/dma-buf/dma-buf.c) says of
 * pinned importers without one that they unmap when they are done, which here is the end of the frame.
 */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <media/videobuf2-dma-sg.h>

#include "capture.h"

static bool allow_peer2peer = true;
module_param(allow_peer2peer, bool, 0644);
MODULE_PARM_DESC(allow_peer2peer, "import dma-bufs dynamically and allow peer memory (default); 0: as the stock drivers do. Obeyed at the next import");

#define STOCK (&vb2_dma_sg_memops)

struct hl_memory {
	void *stock;				/* vb2-dma-sg's; or else: */
	struct dma_buf_attachment *attachment;
	struct sg_table *table;			/* while mapped */
	enum dma_data_direction direction;
};

static const struct dma_buf_attach_ops peer_ops = { .allow_peer2peer = true };

static void *hl_memory_alloc(struct vb2_buffer *vb, struct device *dev, unsigned long size)
{
	struct hl_memory *memory = kzalloc(sizeof(*memory), GFP_KERNEL);
	void *stock;

	if (!memory)
		return ERR_PTR(-ENOMEM);
	stock = STOCK->alloc(vb, dev, size);
	if (IS_ERR(stock)) {
		kfree(memory);
		return stock;
	}
	memory->stock = stock;
	return memory;
}

/* What is mapped by a process lives on: vb2-dma-sg counts its own users. */
static void hl_memory_put(void *priv)
{
	struct hl_memory *memory = priv;

	STOCK->put(memory->stock);
	kfree(memory);
}

static struct dma_buf *hl_memory_get_dmabuf(struct vb2_buffer *vb, void *priv, unsigned long flags)
{
	struct hl_memory *memory = priv;

	return STOCK->get_dmabuf(vb, memory->stock, flags);
}

static void hl_memory_prepare(void *priv)
{
	struct hl_memory *memory = priv;

	if (memory->stock)
		STOCK->prepare(memory->stock);
}

static void hl_memory_finish(void *priv)
{
	struct hl_memory *memory = priv;

	if (memory->stock)
		STOCK->finish(memory->stock);
}

static void *hl_memory_attach(struct vb2_buffer *vb, struct device *dev, struct dma_buf *dmabuf, unsigned long size)
{
	struct hl_memory *memory;
	void *made;

	if (dmabuf->size < size)
		return ERR_PTR(-EFAULT);
	memory = kzalloc(sizeof(*memory), GFP_KERNEL);
	if (!memory)
		return ERR_PTR(-ENOMEM);
	memory->direction = vb->vb2_queue->dma_dir;
	if (READ_ONCE(allow_peer2peer))
		made = memory->attachment = dma_buf_dynamic_attach(dmabuf, dev, &peer_ops, memory);
	else
		made = memory->stock = STOCK->attach_dmabuf(vb, dev, dmabuf, size);
	if (IS_ERR(made)) {
		kfree(memory);
		return made;
	}
	return memory;
}

static void hl_memory_detach(void *priv)
{
	struct hl_memory *memory = priv;

	if (memory->stock)
		STOCK->detach_dmabuf(memory->stock);
	else
		dma_buf_detach(memory->attachment->dmabuf, memory->attachment);
	kfree(memory);
}

/* Under the reservation lock. A dynamic importer waits itself for whoever still moves the memory (dma_buf_map_attachment() does it for the static ones). */
static int hl_memory_map_locked(struct hl_memory *memory)
{
	struct dma_buf_attachment *attachment = memory->attachment;
	struct sg_table *table;
	long waited;
	int ret = dma_buf_pin(attachment);

	if (ret)
		return ret;
	table = dma_buf_map_attachment(attachment, memory->direction);
	if (IS_ERR(table)) {
		dma_buf_unpin(attachment);
		return PTR_ERR(table);
	}
	waited = dma_resv_wait_timeout(attachment->dmabuf->resv, DMA_RESV_USAGE_KERNEL, true, MAX_SCHEDULE_TIMEOUT);
	if (waited < 0) {
		dma_buf_unmap_attachment(attachment, table, memory->direction);
		dma_buf_unpin(attachment);
		return waited;
	}
	memory->table = table;
	return 0;
}

static int hl_memory_map(void *priv)
{
	struct hl_memory *memory = priv;
	int ret;

	if (memory->stock)
		return STOCK->map_dmabuf(memory->stock);
	ret = dma_resv_lock_interruptible(memory->attachment->dmabuf->resv, NULL);
	if (ret)
		return ret;
	ret = hl_memory_map_locked(memory);
	dma_resv_unlock(memory->attachment->dmabuf->resv);
	return ret;
}

static void hl_memory_unmap(void *priv)
{
	struct hl_memory *memory = priv;
	struct dma_buf_attachment *attachment = memory->attachment;

	if (memory->stock) {
		STOCK->unmap_dmabuf(memory->stock);
		return;
	}
	dma_resv_lock(attachment->dmabuf->resv, NULL);
	dma_buf_unmap_attachment(attachment, memory->table, memory->direction);
	dma_buf_unpin(attachment);
	dma_resv_unlock(attachment->dmabuf->resv);
	memory->table = NULL;
}

/* Memory of a peer has no address for the processor. */
static void *hl_memory_vaddr(struct vb2_buffer *vb, void *priv)
{
	struct hl_memory *memory = priv;

	return memory->stock ? STOCK->vaddr(vb, memory->stock) : NULL;
}

static void *hl_memory_cookie(struct vb2_buffer *vb, void *priv)
{
	struct hl_memory *memory = priv;

	return memory->stock ? STOCK->cookie(vb, memory->stock) : memory->table;
}

static unsigned int hl_memory_num_users(void *priv)
{
	struct hl_memory *memory = priv;

	return memory->stock ? STOCK->num_users(memory->stock) : 1;
}

static int hl_memory_mmap(void *priv, struct vm_area_struct *vma)
{
	struct hl_memory *memory = priv;

	return STOCK->mmap(memory->stock, vma);
}

const struct vb2_mem_ops hl_memory_ops = {
	.alloc = hl_memory_alloc,
	.put = hl_memory_put,
	.get_dmabuf = hl_memory_get_dmabuf,
	.prepare = hl_memory_prepare,
	.finish = hl_memory_finish,
	.attach_dmabuf = hl_memory_attach,
	.detach_dmabuf = hl_memory_detach,
	.map_dmabuf = hl_memory_map,
	.unmap_dmabuf = hl_memory_unmap,
	.vaddr = hl_memory_vaddr,
	.cookie = hl_memory_cookie,
	.num_users = hl_memory_num_users,
	.mmap = hl_memory_mmap,
};

MODULE_IMPORT_NS("DMA_BUF");
