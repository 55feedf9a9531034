/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/dmg/plist.c - finds the "blkx" resources: in an XML property list, or in a resource fork
 *
 * The list is {"resource-fork": {"blkx": [{"Data": base64, ...}, ...]}}; the fork is laid out as in
 * Inside Macintosh: More Macintosh Toolbox, chapter 1 ("Resource File Format"), big endian. */
#include "block/dmg/dmg-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum { MAX_TABLES = 1024 };

/* ---- XML ------------------------------------------------------------------------------------- */

typedef struct {
    GString *text; /* of the element being read */
    char *key; /* owned: the last one outside of the list's items */
    char *item_key; /* owned: the last one inside of an item */
    bool in_blkx;
    unsigned depth, blkx_depth;
    GPtrArray *tables;
} Plist;

static void start_element(GMarkupParseContext *context, const char *name, const char **keys,
                          const char **values, void *opaque, GError **error)
{
    Plist *p = opaque;

    p->depth++;
    g_string_truncate(p->text, 0);
    if (!p->in_blkx && strcmp(name, "array") == 0 && g_strcmp0(p->key, "blkx") == 0) {
        p->in_blkx = true;
        p->blkx_depth = p->depth;
    }
}

static void add_table(Plist *p)
{
    gsize size;
    uint8_t *data = g_base64_decode(p->text->str, &size);

    if (p->tables->len < MAX_TABLES) g_ptr_array_add(p->tables, g_bytes_new_take(data, size));
    else g_free(data);
}

static void end_element(GMarkupParseContext *context, const char *name, void *opaque,
                        GError **error)
{
    Plist *p = opaque;

    if (strcmp(name, "key") == 0) {
        char **key = p->in_blkx ? &p->item_key : &p->key;
        g_free(*key);
        *key = g_strdup(p->text->str);
    } else if (p->in_blkx && strcmp(name, "data") == 0 && g_strcmp0(p->item_key, "Data") == 0) {
        add_table(p);
    }
    if (p->in_blkx && p->depth == p->blkx_depth) p->in_blkx = false;
    p->depth--;
    g_string_truncate(p->text, 0);
}

static void element_text(GMarkupParseContext *context, const char *text, gsize size, void *opaque,
                         GError **error)
{
    g_string_append_len(((Plist *)opaque)->text, text, (gssize)size);
}

GPtrArray *dmg_plist_tables(const char *text, size_t size, const char *name, GError **error)
{
    static const GMarkupParser parser = { .start_element = start_element,
                                          .end_element = end_element,
                                          .text = element_text };
    Plist p = { .text = g_string_new(NULL),
                .tables = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref) };
    g_autoptr(GError) why = NULL;
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, &p, NULL);

    size = strnlen(text, size);
    bool good = g_markup_parse_context_parse(context, text, (gssize)size, &why) &&
                g_markup_parse_context_end_parse(context, &why);
    g_string_free(p.text, TRUE);
    g_free(p.key);
    g_free(p.item_key);
    if (good) return p.tables;
    vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: the property list cannot be read: %s"),
                   name, why->message);
    g_ptr_array_unref(p.tables);
    return NULL;
}

/* ---- resource fork --------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *data;
    size_t size;
    bool bad; /* something lay outside */
} Fork;

static uint32_t get(Fork *f, uint64_t at, unsigned bytes)
{
    uint32_t value = 0;

    if (at > f->size || bytes > f->size - at) {
        f->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++) value = value << 8 | f->data[at + i];
    return value;
}

static void take_resources(Fork *f, uint64_t references, unsigned count, uint64_t data_at,
                           GPtrArray *tables)
{
    for (unsigned i = 0; i < count && !f->bad && tables->len < MAX_TABLES; i++) {
        uint64_t at = data_at + (get(f, references + i * UINT64_C(12) + 4, 4) & 0xffffff);
        uint32_t size = get(f, at, 4);
        if (f->bad || at + 4 + size > f->size) f->bad = true;
        else g_ptr_array_add(tables, g_bytes_new(f->data + at + 4, size));
    }
}

GPtrArray *dmg_fork_tables(const uint8_t *fork, size_t size, const char *name, GError **error)
{
    Fork f = { fork, size, false };
    GPtrArray *tables = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    uint64_t data_at = get(&f, 0, 4), map = get(&f, 4, 4);
    uint64_t types = map + get(&f, map + 24, 2);
    unsigned count = (get(&f, types, 2) + 1) & 0xffff;

    for (unsigned i = 0; i < count && !f.bad; i++) {
        uint64_t at = types + 2 + i * UINT64_C(8);
        if (get(&f, at, 4) != 0x626c6b78) continue; /* "blkx" */
        take_resources(&f, types + get(&f, at + 6, 2), get(&f, at + 4, 2) + 1, data_at, tables);
    }
    if (!f.bad) return tables;
    vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                   _("“%s”: the resource fork points outside of its %zu bytes"), name, size);
    g_ptr_array_unref(tables);
    return NULL;
}
