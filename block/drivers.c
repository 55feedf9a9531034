/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/drivers.c - the list of drivers, and those that are in modules */
#include "block/drivers.h"

#include "block/module.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* A protocol whose driver is in a module. */
#define REMOTE(NAME, MODULE)                                                                       \
    &(const VitBlockDriver)                                                                        \
    {                                                                                              \
        .name = NAME, .kind = VIT_BLOCK_PROTOCOL,                                                  \
        .protocols = (const char *const[]){ NAME, NULL }, .module = MODULE                         \
    }

static const VitBlockDriver *const drivers[] = {
    &vit_block_blkdebug_driver,
    &vit_block_blkverify_driver,
    &vit_block_bochs_driver,
    &vit_block_cloop_driver,
    &vit_block_compress_driver,
    &vit_block_copy_on_read_driver,
    &vit_block_dmg_driver,
    &vit_block_file_driver,
    &vit_block_host_device_driver,
    &vit_block_luks_driver,
    &vit_block_nbd_driver,
    &vit_block_null_aio_driver,
    &vit_block_null_co_driver,
    &vit_block_parallels_driver,
    &vit_block_qcow2_driver,
    &vit_block_qed_driver,
    &vit_block_raw_driver,
    &vit_block_throttle_driver,
    &vit_block_vdi_driver,
    &vit_block_vhdx_driver,
    &vit_block_vmdk_driver,
    &vit_block_vpc_driver,
#ifdef VIT_HAVE_CURL
    REMOTE("ftp", "block-curl"),
    REMOTE("ftps", "block-curl"),
    REMOTE("http", "block-curl"),
    REMOTE("https", "block-curl"),
#endif
#ifdef VIT_HAVE_ISCSI
    REMOTE("iscsi", "block-iscsi"),
#endif
#ifdef VIT_HAVE_NFS
    REMOTE("nfs", "block-nfs"),
#endif
#ifdef VIT_HAVE_RBD
    REMOTE("rbd", "block-rbd"),
#endif
#ifdef VIT_HAVE_SSH
    REMOTE("ssh", "block-ssh"),
#endif
    NULL,
};

const VitBlockDriver *const *vit_block_drivers(void)
{
    return drivers;
}

static const VitBlockDriver *find(const VitBlockDriver *const *list, const char *name)
{
    for (; *list; list++) {
        if (strcmp((*list)->name, name) == 0) return *list;
    }
    return NULL;
}

const VitBlockDriver *vit_block_driver_find(const char *name)
{
    return find(drivers, name);
}

/* ---- modules --------------------------------------------------------------------------------- */

const VitBlockDriver *vit_block_driver_load(const VitBlockDriver *driver, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (!driver->module) return driver;
    const VitBlockModule *module = vit_module_load(driver->module, VIT_BLOCK_MODULE_SYMBOL, &why);
    bool ours = module && strcmp(module->version, VIT_VERSION) == 0 &&
                module->driver_size == sizeof(VitBlockDriver) &&
                module->node_size == sizeof(VitBlockNode);
    const VitBlockDriver *whole = ours ? find(module->drivers, driver->name) : NULL;

    if (whole) return whole;
    if (g_error_matches(why, VIT_MODULE_ERROR, VIT_MODULE_ERROR_MISSING))
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Protocol '%s' needs the module %s; install Vitrine's module for it"),
                       driver->name, why->message);
    else if (why)
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Protocol '%s' needs the module %s; install the library it lacks"),
                       driver->name, why->message);
    else
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Protocol '%s' needs the module “%s” of Vitrine %s, but there is one of "
                         "another version; install modules and programs of the same version"),
                       driver->name, driver->module, VIT_VERSION);
    return NULL;
}

typedef struct {
    const VitBlockDriver *driver, *whole;
    GError **error;
} Load;

static void load(void *opaque)
{
    Load *l = opaque;

    l->whole = vit_block_driver_load(l->driver, l->error);
}

const VitBlockDriver *vit_co_driver_load(const VitBlockDriver *driver, VitIoThread *thread,
                                         GError **error)
{
    Load l = { driver, NULL, error };

    if (!driver->module) return driver;
    vit_fiber_offload(thread, load, &l);
    return l.whole;
}
