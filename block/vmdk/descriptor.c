/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vmdk/descriptor.c - the text that says what a disk consists of
 *
 * Virtual Disk Format 1.1, "The Descriptor": "key = value" lines and one line for each extent. */
#include "block/vmdk/vmdk.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { MAX_EXTENTS = 4096 };

static void line_free(gpointer data)
{
    VmdkLine *l = data;

    g_free(l->access);
    g_free(l->type);
    g_free(l->filename);
    g_free(l);
}

void vmdk_descriptor_free(VmdkDescriptor *d)
{
    if (!d) return;
    g_free(d->create_type);
    g_free(d->parent_hint);
    g_ptr_array_unref(d->extents);
    g_free(d);
}

static char *take_word(const char **text)
{
    const char *start;

    while (g_ascii_isspace(**text)) (*text)++;
    start = *text;
    while (**text && !g_ascii_isspace(**text)) (*text)++;
    return *text > start ? g_strndup(start, (gsize)(*text - start)) : NULL;
}

static char *take_quoted(const char **text)
{
    while (g_ascii_isspace(**text)) (*text)++;
    const char *end = **text == '"' ? strchr(*text + 1, '"') : NULL;
    if (!end) return NULL;
    char *inside = g_strndup(*text + 1, (gsize)(end - *text - 1));
    *text = end + 1;
    return inside;
}

static bool parse_number(const char *word, uint64_t *value)
{
    return word && g_ascii_string_to_unsigned(word, 10, 0, INT64_MAX / VMDK_SECTOR, value, NULL);
}

/* An extent's line; NULL: it is none. */
static VmdkLine *parse_extent(const char *text)
{
    VmdkLine *l = g_new0(VmdkLine, 1);
    g_autofree char *number = NULL;

    l->access = take_word(&text);
    number = take_word(&text);
    l->type = take_word(&text);
    l->filename = take_quoted(&text);
    g_autofree char *offset = take_word(&text);
    if (l->access && l->type && parse_number(number, &l->sectors) &&
        (!offset || parse_number(offset, &l->offset)) &&
        (l->filename || strcmp(l->type, "ZERO") == 0))
        return l;
    line_free(l);
    return NULL;
}

static bool is_access(const char *line)
{
    return g_str_has_prefix(line, "RW ") || g_str_has_prefix(line, "RDONLY ") ||
           g_str_has_prefix(line, "NOACCESS ");
}

static void set_string(char **target, const char *value)
{
    gsize length = strlen(value);

    g_free(*target);
    *target = length >= 2 && value[0] == '"' && value[length - 1] == '"'
                  ? g_strndup(value + 1, length - 2)
                  : g_strdup(value);
}

VmdkDescriptor *vmdk_descriptor_parse(const char *filename, const char *text, GError **error)
{
    g_autoptr(VmdkDescriptor) d = g_new0(VmdkDescriptor, 1);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    d->extents = g_ptr_array_new_with_free_func(line_free);
    d->parent_cid = VMDK_NO_PARENT;
    for (char **line = lines; *line; line++) {
        char *stripped = g_strstrip(*line);
        if (is_access(stripped)) {
            VmdkLine *l = parse_extent(stripped);
            if (!l || d->extents->len == MAX_EXTENTS) {
                vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: %s extent line: %.200s"),
                               filename, l ? "Too many" : "Invalid", stripped);
                if (l) line_free(l);
                return NULL;
            }
            g_ptr_array_add(d->extents, l);
            continue;
        }
        char *equals = strchr(stripped, '=');
        if (stripped[0] == '#' || !equals) continue;
        *equals = '\0';
        const char *key = g_strchomp(stripped), *value = g_strstrip(equals + 1);
        if (strcmp(key, "CID") == 0) d->cid = (uint32_t)g_ascii_strtoull(value, NULL, 16);
        else if (strcmp(key, "parentCID") == 0)
            d->parent_cid = (uint32_t)g_ascii_strtoull(value, NULL, 16);
        else if (strcmp(key, "createType") == 0) set_string(&d->create_type, value);
        else if (strcmp(key, "parentFileNameHint") == 0) set_string(&d->parent_hint, value);
    }
    return g_steal_pointer(&d);
}

bool vmdk_descriptor_probe(const uint8_t *head, size_t size)
{
    const char *p = (const char *)head, *end = p + size;

    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t length = newline ? (size_t)(newline - p) : (size_t)(end - p);
        while (length > 0 && (p[0] == ' ' || p[0] == '\t')) p++, length--;
        while (length > 0 && (p[length - 1] == '\r' || p[length - 1] == ' ')) length--;
        if (length > 0 && p[0] != '#')
            return length == 9 && memcmp(p, "version=", 8) == 0 && p[8] >= '1' && p[8] <= '3';
        if (!newline) return false;
        p = newline + 1;
    }
    return false;
}

bool vmdk_name_is_safe(const char *filename, const char *name, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(name, "/", -1);
    bool bad = name[0] == '\0' || name[0] == '/' || strchr(name, ':');

    for (char **part = parts; *part; part++) bad |= strcmp(*part, "..") == 0;
    return !bad ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("“%s”: its extent “%s” lies outside of its folder; put it there "
                            "and only its name into the descriptor"),
                          filename, name);
}

int vmdk_co_renew_cid(Vmdk *v)
{
    VitBlockNode *file = v->parent.file->node;
    int result = 0;

    vit_fiber_mutex_lock(&v->renewing);
    char *at = v->cid_renewed ? NULL : strstr(v->descriptor, "CID=");
    while (at && at > v->descriptor && at[-1] != '\n') at = strstr(at + 1, "CID=");
    if (at && strspn(at + 4, "0123456789abcdefABCDEF") >= 8) {
        uint32_t cid;
        do cid = g_random_int();
        while (cid == VMDK_NO_PARENT || cid == v->cid);
        g_autofree char *digits = g_strdup_printf("%08x", cid);
        result = vit_co_write(file, v->descriptor_at + (uint64_t)(at + 4 - v->descriptor), digits,
                              8, 0);
        if (result == 0) {
            memcpy(at + 4, digits, 8);
            v->cid = cid;
        }
    }
    if (result == 0) v->cid_renewed = true;
    vit_fiber_mutex_unlock(&v->renewing);
    return result;
}
