// SPDX-License-Identifier: GPL-2.0
/*
 * Lets /dev/accel/accelN of an unmodified habanalabs.ko be opened. Test-only.
 *
 * drm_open_helper() (drivers/gpu/drm/drm_file.c) refuses every file whose operations lack FOP_UNSIGNED_OFFSET, and hl_fops (drivers/accel/habanalabs/common/
 * habanalabs_drv.c) lacks it since the flag was introduced in 6.12. At the entry of that function a file of habanalabs gets a copy of its operations that has the
 * flag; nothing else is changed, and habanalabs.ko stays the signed binary that it is.
 *
 * Open files point into this module, so it has no exit function: it cannot be unloaded. habanalabs can, as before: its files hold it by the copy's owner, which is
 * habanalabs itself.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static DEFINE_RAW_SPINLOCK(lock);
static struct file_operations repaired;
static const struct file_operations *origin;	/* what `repaired` is a copy of */

/* Loading habanalabs again moves its operations. By then no file uses the old copy: each held the module. */
static const struct file_operations *repair(const struct file_operations *fops)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	if (origin != fops || repaired.open != fops->open || repaired.owner != fops->owner) {
		repaired = *fops;
		repaired.fop_flags |= FOP_UNSIGNED_OFFSET;
		origin = fops;
	}
	raw_spin_unlock_irqrestore(&lock, flags);
	return &repaired;
}

static int at_drm_open_helper(struct kprobe *probe, struct pt_regs *regs)
{
	struct file *file = (struct file *)regs_get_kernel_argument(regs, 0);
	const struct file_operations *fops = file->f_op;

	if (fops->owner && !strcmp(module_name(fops->owner), "habanalabs") && !(fops->fop_flags & FOP_UNSIGNED_OFFSET))
		file->f_op = repair(fops);
	return 0;
}

static struct kprobe probe = {
	.symbol_name = "drm_open_helper",
	.pre_handler = at_drm_open_helper,
};

static int __init hl_open_repair_init(void)
{
	int ret = register_kprobe(&probe);

	if (ret) {
		pr_err("no probe at drm_open_helper (error %d): is the module drm loaded?\n", ret);
		return ret;
	}
	pr_info("files of habanalabs get FOP_UNSIGNED_OFFSET when they are opened, which hl_fops lacks since 6.12; the module habanalabs itself is not changed\n");
	return 0;
}
module_init(hl_open_repair_init);

MODULE_DESCRIPTION("Test-only repair of open() of the in-tree habanalabs driver");
MODULE_LICENSE("GPL");
MODULE_SOFTDEP("pre: drm");
