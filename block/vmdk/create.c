/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vmdk/create.c - new VMware disks of all subformats */
#include "block/vmdk/vmdk.h"

#include "block/drivers.h"
#include "block/node-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { GRAIN_SECTORS = 128, PER_TABLE = 512, DESCRIPTOR_SECTORS = 20 };
static const uint64_t split = UINT64_C(2) << 30; /* bytes of each extent of the twoGb kinds */

const VitBlockOption vmdk_create_options[] = {
    { "size", VIT_OPT_SIZE, "Virtual disk size", NULL, false },
    { "adapter_type", VIT_OPT_STRING,
      "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX", NULL,
      false },
    { "backing_file", VIT_OPT_STRING, "File name of a base image", NULL, false },
    { "backing_fmt", VIT_OPT_STRING, "Must be 'vmdk' if present", NULL, false },
    { "compat6", VIT_OPT_BOOL, "VMDK version 6 image", "off", false },
    { "hwversion", VIT_OPT_STRING, "VMDK hardware version", "undefined", false },
    { "toolsversion", VIT_OPT_STRING, "VMware guest tools version", NULL, false },
    { "subformat", VIT_OPT_STRING,
      "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | "
      "twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ",
      NULL, false },
    { "zeroed_grain", VIT_OPT_BOOL,
      "Enable efficient zero writes using the zeroed-grain GTE feature", NULL, false },
    { .name = NULL },
};

enum { MONOLITHIC_SPARSE, MONOLITHIC_FLAT, SPLIT_SPARSE, SPLIT_FLAT, STREAM };
static const char *const subformats[] = { "monolithicSparse",     "monolithicFlat",
                                          "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
                                          "streamOptimized",      NULL };
static const char *const adapters[] = { "ide", "lsilogic", "buslogic", "legacyESX", NULL };

typedef struct {
    VitBlockCreate *create; /* borrowed */
    int subformat, adapter;
    bool compat6, zero_grains;
    const char *hwversion, *toolsversion; /* borrowed */
    uint32_t parent_cid;
} Plan;

/* ---- sparse extents -------------------------------------------------------------------------- */

/* Tables one after the other from `sector` on, and the directory before them. */
static void make_directory(uint8_t *meta, uint64_t sector, uint64_t tables,
                           uint64_t directory_sectors)
{
    uint32_t *directory = (uint32_t *)(meta + sector * VMDK_SECTOR);
    uint64_t first = sector + directory_sectors, step = PER_TABLE * 4 / VMDK_SECTOR;

    for (uint64_t i = 0; i < tables; i++)
        directory[i] = GUINT32_TO_LE((uint32_t)(first + i * step));
}

static int write_sparse(const Plan *p, VitBlockNode *file, uint64_t bytes, const char *descriptor)
{
    uint64_t capacity = bytes / VMDK_SECTOR, covers = GRAIN_SECTORS * PER_TABLE;
    uint64_t tables = (capacity + covers - 1) / covers;
    uint64_t directory_sectors = (tables * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR;
    uint64_t spare = 1 + DESCRIPTOR_SECTORS;
    uint64_t directory = spare + directory_sectors + tables * PER_TABLE * 4 / VMDK_SECTOR;
    uint64_t used = directory + (directory - spare);
    uint64_t overhead = (used + GRAIN_SECTORS - 1) / GRAIN_SECTORS * GRAIN_SECTORS;
    bool stream = p->subformat == STREAM;
    uint8_t *meta = g_try_malloc0((directory + directory_sectors) * VMDK_SECTOR);

    if (!meta) return -ENOMEM;
    VmdkHeader *h = (VmdkHeader *)meta;
    *h = (VmdkHeader){
        .magic = { 'K', 'D', 'M', 'V' },
        .version = GUINT32_TO_LE(stream           ? 3
                                 : p->zero_grains ? 2
                                                  : 1),
        .flags = GUINT32_TO_LE(VMDK_FLAG_NEWLINE | VMDK_FLAG_SPARE |
                               (stream ? VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS : 0) |
                               (p->zero_grains ? VMDK_FLAG_ZERO_GRAINS : 0)),
        .capacity = GUINT64_TO_LE(capacity),
        .grain_size = GUINT64_TO_LE(GRAIN_SECTORS),
        .descriptor_offset = GUINT64_TO_LE(1),
        .descriptor_size = GUINT64_TO_LE(DESCRIPTOR_SECTORS),
        .per_table = GUINT32_TO_LE(PER_TABLE),
        .spare_directory = GUINT64_TO_LE(spare),
        .directory = GUINT64_TO_LE(directory),
        .overhead = GUINT64_TO_LE(overhead),
        .newline = { '\n', ' ', '\r', '\n' },
        .compression = GUINT16_TO_LE(stream ? VMDK_DEFLATE : 0),
    };
    if (descriptor)
        memcpy(meta + VMDK_SECTOR, descriptor,
               MIN(strlen(descriptor), (size_t)DESCRIPTOR_SECTORS * VMDK_SECTOR));
    make_directory(meta, spare, tables, directory_sectors);
    make_directory(meta, directory, tables, directory_sectors);
    /* Tables are zero, as the file is: only what is in front of them is written. */
    int result = vit_co_write(file, 0, meta, spare * VMDK_SECTOR, 0);
    if (result == 0)
        result = vit_co_zero(file, spare * VMDK_SECTOR, (overhead - spare) * VMDK_SECTOR, 0);
    if (result == 0)
        result = vit_co_write(file, spare * VMDK_SECTOR, meta + spare * VMDK_SECTOR,
                              directory_sectors * VMDK_SECTOR, 0);
    if (result == 0)
        result = vit_co_write(file, directory * VMDK_SECTOR, meta + directory * VMDK_SECTOR,
                              directory_sectors * VMDK_SECTOR, 0);
    g_free(meta);
    return result;
}

/* ---- the descriptor -------------------------------------------------------------------------- */

static char *make_descriptor(const Plan *p, const char *extents)
{
    const VitBlockCreate *c = p->create;
    uint64_t heads = p->adapter == 0 ? 16 : 255;
    uint32_t cid;
    g_autofree char *parent = c->backing_file
                                  ? g_strdup_printf("parentFileNameHint=\"%s\"", c->backing_file)
                                  : g_strdup("");

    do cid = g_random_int();
    while (cid == VMDK_NO_PARENT);
    return g_strdup_printf("# Disk DescriptorFile\n"
                           "version=1\n"
                           "CID=%08x\n"
                           "parentCID=%08x\n"
                           "createType=\"%s\"\n"
                           "%s\n"
                           "# Extent description\n"
                           "%s\n"
                           "# The Disk Data Base\n"
                           "#DDB\n"
                           "\n"
                           "ddb.virtualHWVersion = \"%s\"\n"
                           "ddb.geometry.cylinders = \"%" G_GUINT64_FORMAT "\"\n"
                           "ddb.geometry.heads = \"%" G_GUINT64_FORMAT "\"\n"
                           "ddb.geometry.sectors = \"63\"\n"
                           "ddb.adapterType = \"%s\"\n"
                           "ddb.toolsVersion = \"%s\"\n",
                           cid, p->parent_cid, subformats[p->subformat], parent, extents,
                           p->compat6 ? "6" : p->hwversion, c->size / (63 * heads * VMDK_SECTOR),
                           heads, adapters[p->adapter], p->toolsversion);
}

/* ---- creating -------------------------------------------------------------------------------- */

static bool take_options(Plan *p, GError **error)
{
    VitBlockArgs *o = p->create->options;

    if (!vit_block_args_enum(o, "subformat", subformats, &p->subformat, error) ||
        !vit_block_args_enum(o, "adapter_type", adapters, &p->adapter, error) ||
        !vit_block_args_bool(o, "compat6", &p->compat6, error) ||
        !vit_block_args_bool(o, "zeroed_grain", &p->zero_grains, error))
        return false;
    const char *hw = vit_block_args_str(o, "hwversion");
    const char *tools = vit_block_args_str(o, "toolsversion");
    bool hw_given = hw && strcmp(hw, "undefined") != 0;
    p->hwversion = hw_given ? hw : "4";
    p->toolsversion = tools ?: "2147483647";
    if (p->compat6 && hw_given)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("compat6 cannot be enabled with hwversion set"));
    if (strpbrk(p->hwversion, "\"\n") || strpbrk(p->toolsversion, "\"\n") ||
        (p->create->backing_file && strpbrk(p->create->backing_file, "\"\n")))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("A VMDK descriptor cannot hold quotes and line ends in values"));
    bool flat = p->subformat == MONOLITHIC_FLAT || p->subformat == SPLIT_FLAT;
    if (flat && p->create->backing_file)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Flat image can't have backing file"));
    if (flat && p->zero_grains)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Flat image can't enable zeroed grain"));
    return true;
}

static bool find_parent(Plan *p, GError **error)
{
    VitBlockCreate *c = p->create;
    VitBlockOptions how = { .read_only = true, .lock = true, .no_io = true, .no_backing = true };

    if (!c->backing_file) return true;
    g_autofree char *name = vit_block_filename_join(c->filename ?: c->file->filename,
                                                    c->backing_file);
    VitBlockNode *parent = vit_co_open_image(c->graph, c->thread, name, c->backing_format, NULL,
                                             &how, false, error);
    if (!parent) return false;
    bool good = parent->driver == &vit_block_vmdk_driver;
    if (good) p->parent_cid = ((Vmdk *)parent)->cid;
    vit_block_node_unref(parent);
    return good || vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("Invalid backing file format: %s. Must be vmdk"), name);
}

/* "disk-s001.vmdk" of "disk.vmdk"; folder NULL: only the name. */
static char *extent_name(const char *filename, const char *middle, bool with_folder)
{
    const char *slash = strrchr(filename, '/'), *base = slash ? slash + 1 : filename;
    const char *dot = strrchr(base, '.');
    size_t stem = dot ? (size_t)(dot - base) : strlen(base);

    return g_strdup_printf("%.*s%.*s%s%s", with_folder ? (int)(base - filename) : 0, filename,
                           (int)stem, base, middle, dot ?: "");
}

static bool write_extent(const Plan *p, const char *path, uint64_t bytes, bool sparse,
                         GError **error)
{
    VitBlockCreate one = *p->create;
    one.filename = path;
    one.file = NULL;
    VitBlockNode *file = vit_co_create_file(&one, sparse ? 0 : bytes, error);

    if (!file) return false;
    int result = sparse ? write_sparse(p, file, bytes, NULL) : 0;
    if (result == 0) result = vit_co_flush(file);
    vit_block_node_unref(file);
    return result == 0 || vit_block_fail_errno(error, result, _("Could not write “%s”"), path);
}

/* Makes the files and gives the lines that name them. */
static char *write_extents(const Plan *p, GError **error)
{
    const VitBlockCreate *c = p->create;
    bool sparse = p->subformat == SPLIT_SPARSE, one_file = p->subformat == MONOLITHIC_FLAT;
    g_autoptr(GString) lines = g_string_new(NULL);
    uint64_t left = c->size;

    for (unsigned i = 1; i == 1 || left > 0; i++) {
        uint64_t bytes = one_file ? left : MIN(left, split);
        g_autofree char *middle = one_file ? g_strdup("-flat")
                                           : g_strdup_printf("-%c%03u", sparse ? 's' : 'f', i);
        g_autofree char *path = extent_name(c->filename, middle, true);
        g_autofree char *name = extent_name(c->filename, middle, false);
        if (!write_extent(p, path, bytes, sparse, error)) return NULL;
        g_string_append_printf(lines, "RW %" G_GUINT64_FORMAT " %s \"%s\"%s\n", bytes / VMDK_SECTOR,
                               sparse ? "SPARSE" : "FLAT", name, sparse ? "" : " 0");
        left -= bytes;
    }
    return g_string_free(g_steal_pointer(&lines), FALSE);
}

bool vmdk_co_create(VitBlockCreate *create, GError **error)
{
    Plan p = { .create = create, .parent_cid = VMDK_NO_PARENT };

    if (!take_options(&p, error) || !find_parent(&p, error)) return false;
    bool one_file = p.subformat == MONOLITHIC_SPARSE || p.subformat == STREAM;
    if (!one_file && !create->filename)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("An image of several files can only be created by its name"));
    if (one_file && create->size > UINT64_C(32) << 40)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("A sparse VMDK has at most 32 TiB; use subformat=twoGbMaxExtentSparse"));
    if (!one_file && create->size == 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("A VMDK in several files cannot be empty"));
    g_autofree char *base = g_path_get_basename(create->filename ?: create->file->filename);
    g_autofree char *lines = one_file ? g_strdup_printf("RW %" G_GUINT64_FORMAT " SPARSE \"%s\"\n",
                                                        create->size / VMDK_SECTOR, base)
                                      : write_extents(&p, error);
    if (!lines) return false;
    g_autofree char *descriptor = make_descriptor(&p, lines);
    if (one_file && strlen(descriptor) >= (size_t)DESCRIPTOR_SECTORS * VMDK_SECTOR)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The names are too long for a VMDK descriptor"));
    VitBlockNode *file = vit_co_create_begin(create, error);
    if (!file) return false;
    int result = one_file ? write_sparse(&p, file, create->size, descriptor)
                          : vit_co_write(file, 0, descriptor, strlen(descriptor), 0);
    if (result == 0) result = vit_co_flush(file);
    bool good = result == 0 ||
                vit_block_fail_errno(error, result, _("Could not write “%s”"), file->filename);
    vit_block_node_unref(file);
    return good;
}
