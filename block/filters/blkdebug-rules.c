/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filters/blkdebug-rules.c - what blkdebug does when
 *
 * A rule waits for its event, in its state.  A rule that injects errors is active from then on
 * (that of the event "none" from the beginning), until the rules of another event take its place; a
 * request meets the newest active rule that fits it.  Breakpoints hold the fiber that comes by. */
#include "block/filters/blkdebug.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

enum { MAX_RULES = 256, MAX_CONFIG = 1 << 20 };
enum {
    ALL_OPS = 1 << VIT_BLOCK_READ | 1 << VIT_BLOCK_WRITE | 1 << VIT_BLOCK_FLUSH |
              1 << VIT_BLOCK_DISCARD | 1 << VIT_BLOCK_WRITE_ZEROES
};

typedef enum { INJECT, SET_STATE, SUSPEND } Action;

typedef struct {
    Action action;
    VitBlockEvent event;
    unsigned state; /* that it applies in; 0: any */
    unsigned new_state; /* SET_STATE */
    char *tag; /* SUSPEND: owned */
    /* INJECT */
    unsigned ops; /* bits of VitBlockOp */
    int64_t sector; /* -1: any */
    int error; /* positive errno; 0: none */
    bool once;
    uint64_t skip; /* matching requests that still go well */
} Rule;

typedef struct {
    char *tag; /* owned */
    bool resumed;
} Suspended;

struct VitDebugRules {
    GPtrArray *all; /* of Rule*, owned */
    GPtrArray *active; /* of Rule* in all: the newest last */
    GPtrArray *suspended; /* of Suspended*, of the fibers that wait */
    VitFiberCond changed;
    unsigned state;
};

static const char *const events[] = {
#define X(name, text) text,
    VIT_BLOCK_EVENTS(X)
#undef X
        NULL
};

static void free_rule(void *rule)
{
    g_free(((Rule *)rule)->tag);
    g_free(rule);
}

VitDebugRules *vit_debug_rules_new(VitIoThread *thread)
{
    VitDebugRules *r = g_new0(VitDebugRules, 1);

    r->all = g_ptr_array_new_with_free_func(free_rule);
    r->active = g_ptr_array_new();
    r->suspended = g_ptr_array_new();
    r->state = 1;
    vit_debug_rules_move(r, thread);
    return r;
}

void vit_debug_rules_move(VitDebugRules *r, VitIoThread *thread)
{
    r->changed.thread = thread;
}

void vit_debug_rules_free(VitDebugRules *r)
{
    if (!r) return;
    g_ptr_array_unref(r->suspended);
    g_ptr_array_unref(r->active);
    g_ptr_array_unref(r->all);
    g_free(r);
}

static bool add_rule(VitDebugRules *r, const Rule *rule, GError **error)
{
    if (r->all->len >= MAX_RULES)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("blkdebug: at most %d rules"),
                              MAX_RULES);
    Rule *own = g_memdup2(rule, sizeof *rule);
    g_ptr_array_add(r->all, own);
    if (own->action == INJECT && own->event == VIT_EVENT_NONE) g_ptr_array_add(r->active, own);
    return true;
}

static void remove_rule(VitDebugRules *r, Rule *rule)
{
    g_ptr_array_remove(r->active, rule);
    g_ptr_array_remove(r->all, rule);
}

/* ---- what happens ---------------------------------------------------------------------------- */

int vit_debug_rules_inject(VitDebugRules *r, VitBlockOp op, uint64_t offset, uint64_t bytes)
{
    for (guint i = r->active->len; i-- > 0;) {
        Rule *rule = r->active->pdata[i];
        uint64_t at = (uint64_t)rule->sector * 512;
        bool here = rule->sector < 0 || (at >= offset && at < offset + bytes);
        if (!(rule->ops & 1u << op) || !here) continue;
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        int error = rule->error;
        if (rule->once) remove_rule(r, rule);
        return -error;
    }
    return 0;
}

static void suspend(VitDebugRules *r, char *tag /* taken */)
{
    Suspended s = { .tag = tag };

    g_ptr_array_add(r->suspended, &s);
    while (!s.resumed) vit_fiber_cond_wait(&r->changed, NULL);
    g_ptr_array_remove(r->suspended, &s);
    g_free(s.tag);
}

void vit_co_debug_rules_event(VitDebugRules *r, VitBlockEvent event)
{
    unsigned now = r->state, next = now;
    g_autoptr(GPtrArray) tags = NULL;
    bool injected = false;

    for (guint i = 0; i < r->all->len; i++) {
        Rule *rule = r->all->pdata[i];
        if (rule->event != event || (rule->state && rule->state != now)) continue;
        switch (rule->action) {
        case INJECT:
            if (!injected) g_ptr_array_set_size(r->active, 0);
            injected = true;
            g_ptr_array_add(r->active, rule);
            break;
        case SET_STATE: next = rule->new_state; break;
        case SUSPEND:
            if (!tags) tags = g_ptr_array_new();
            g_ptr_array_add(tags, g_steal_pointer(&rule->tag));
            g_ptr_array_remove_index(r->all, i--);
            break;
        }
    }
    r->state = next;
    for (guint i = 0; tags && i < tags->len; i++) suspend(r, tags->pdata[i]);
}

/* ---- options --------------------------------------------------------------------------------- */

static bool take_event(VitBlockArgs *args, Rule *rule, GError **error)
{
    const char *name = vit_block_args_str(args, "event");

    if (!name)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Missing event name for rule"));
    for (unsigned i = 0; events[i]; i++) {
        if (strcmp(name, events[i]) != 0) continue;
        rule->event = (VitBlockEvent)i;
        return true;
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("invalid parameter value: %s"), name);
}

static bool take_inject(VitDebugRules *r, VitBlockArgs *args, GError **error)
{
    /* In the order of VitBlockOp. */
    static const char *const types[] = {
        "read", "write", "flush", "discard", "write-zeroes", NULL
    };
    Rule rule = { .action = INJECT };
    int type = -1;
    uint64_t number = EIO, sector = UINT64_MAX, state = 0;
    bool immediately = false; /* makes no difference here */

    if (!take_event(args, &rule, error) ||
        !vit_block_args_enum(args, "iotype", types, &type, error) ||
        !vit_block_args_uint(args, "errno", 4095, &number, error) ||
        !vit_block_args_uint(args, "sector", INT64_MAX / 512, &sector, error) ||
        !vit_block_args_uint(args, "state", UINT32_MAX, &state, error) ||
        !vit_block_args_uint(args, "skip", UINT64_MAX, &rule.skip, error) ||
        !vit_block_args_bool(args, "once", &rule.once, error) ||
        !vit_block_args_bool(args, "immediately", &immediately, error) ||
        !vit_block_args_finish(args, error))
        return false;
    rule.error = (int)number;
    rule.sector = sector == UINT64_MAX ? -1 : (int64_t)sector;
    rule.state = (unsigned)state;
    rule.ops = type >= 0 ? 1u << type : ALL_OPS;
    return add_rule(r, &rule, error);
}

static bool take_set_state(VitDebugRules *r, VitBlockArgs *args, GError **error)
{
    Rule rule = { .action = SET_STATE };
    uint64_t state = 0, next = 0;

    if (!take_event(args, &rule, error) ||
        !vit_block_args_uint(args, "state", UINT32_MAX, &state, error) ||
        !vit_block_args_uint(args, "new_state", UINT32_MAX, &next, error) ||
        !vit_block_args_finish(args, error))
        return false;
    rule.state = (unsigned)state;
    rule.new_state = (unsigned)next;
    return add_rule(r, &rule, error);
}

typedef bool (*Take)(VitDebugRules *r, VitBlockArgs *args, GError **error);
static const struct {
    const char *name;
    Take take;
} kinds[] = { { "inject-error", take_inject }, { "set-state", take_set_state } };

static bool take_list(VitDebugRules *r, VitBlockArgs *args, const char *name, Take take,
                      GError **error)
{
    JsonNode *list = vit_block_args_node(args, name);

    if (!list) return true;
    if (!JSON_NODE_HOLDS_ARRAY(list))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("blkdebug: %s is a list (%s.0.event=...)"), name, name);
    JsonArray *rules = json_node_get_array(list);
    for (unsigned i = 0; i < json_array_get_length(rules); i++) {
        JsonNode *rule = json_array_get_element(rules, i);
        if (!JSON_NODE_HOLDS_OBJECT(rule))
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("blkdebug: %s.%u is no rule"),
                                  name, i);
        g_autoptr(VitBlockArgs)
            one = vit_block_args_new("blkdebug", json_node_get_object(rule), error);
        if (!one || !take(r, one, error)) return false;
    }
    return true;
}

/* ---- configuration files --------------------------------------------------------------------- */

typedef struct {
    Take take; /* of the group that is being read; NULL: none yet */
    VitBlockArgs *rule; /* owned: what it has so far */
} Config;

static bool end_group(VitDebugRules *r, Config *c, GError **error)
{
    bool good = !c->rule || c->take(r, c->rule, error);

    g_clear_pointer(&c->rule, vit_block_args_free);
    return good;
}

static bool begin_group(VitDebugRules *r, Config *c, const char *line, GError **error)
{
    g_autofree char *name = g_strndup(line + 1, strcspn(line + 1, "]"));

    if (!end_group(r, c, error)) return false;
    c->take = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(name, kinds[i].name) == 0) c->take = kinds[i].take;
    if (!c->take)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("There is no option group '%s'"),
                              name);
    c->rule = vit_block_args_new("blkdebug", NULL, error);
    return c->rule != NULL;
}

/* key = "value" */
static bool take_line(VitDebugRules *r, Config *c, char *line, GError **error)
{
    line = g_strstrip(line);
    if (!*line || *line == '#') return true;
    if (*line == '[') return begin_group(r, c, line, error);
    char *equals = strchr(line, '='), *value = equals ? g_strstrip(equals + 1) : NULL;
    size_t length = value ? strlen(value) : 0;
    if (!equals || length < 2 || *value != '"' || value[length - 1] != '"')
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("blkdebug: a line is written key = \"value\", not “%s”"), line);
    if (!c->rule)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("blkdebug: no group defined"));
    *equals = value[length - 1] = 0;
    vit_block_args_set(c->rule, g_strstrip(line), value + 1);
    return true;
}

static bool take_config(VitDebugRules *r, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) reason = NULL;
    gsize length = 0;
    Config c = { 0 };
    bool good = true;

    if (!g_file_get_contents(path, &text, &length, &reason))
        return vit_block_fail(error, VIT_BLOCK_ERROR_IO,
                              _("Could not read blkdebug config file: %s"), reason->message);
    if (length > MAX_CONFIG)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("blkdebug: the configuration “%s” is too long"), path);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line && good; line++) good = take_line(r, &c, *line, error);
    good = good && end_group(r, &c, error);
    g_clear_pointer(&c.rule, vit_block_args_free);
    return good;
}

bool vit_debug_rules_take(VitDebugRules *r, VitBlockArgs *args, GError **error)
{
    const char *config = vit_block_args_str(args, "config");

    if (config && *config && !take_config(r, config, error)) return false;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (!take_list(r, args, kinds[i].name, kinds[i].take, error)) return false;
    return true;
}

/* ---- breakpoints ----------------------------------------------------------------------------- */

/* The rules of the blkdebug node below, NULL: there is none. */
static VitDebugRules *rules_below(VitBlockNode *node)
{
    VitDebugRules *r = NULL;

    while (node && !(r = vit_debug_rules_of(node))) node = node->file ? node->file->node : NULL;
    return r;
}

int vit_debug_break(VitBlockNode *node, const char *event, const char *tag)
{
    VitDebugRules *r = rules_below(node);
    Rule rule = { .action = SUSPEND };

    if (!r) return -ENOTSUP;
    while (events[rule.event] && strcmp(events[rule.event], event) != 0) rule.event++;
    if (!events[rule.event]) return -ENOENT;
    rule.tag = g_strdup(tag);
    if (add_rule(r, &rule, NULL)) return 0;
    g_free(rule.tag);
    return -ENOSPC;
}

static Suspended *find_suspended(const VitDebugRules *r, const char *tag)
{
    for (guint i = 0; i < r->suspended->len; i++) {
        Suspended *s = r->suspended->pdata[i];
        if (!s->resumed && strcmp(s->tag, tag) == 0) return s;
    }
    return NULL;
}

/* All that wait there go on. */
static bool let_go(VitDebugRules *r, const char *tag)
{
    bool any = false;

    for (Suspended *s; (s = find_suspended(r, tag)); any = true) s->resumed = true;
    if (any) vit_fiber_cond_wake_all(&r->changed);
    return any;
}

int vit_debug_resume(VitBlockNode *node, const char *tag)
{
    VitDebugRules *r = rules_below(node);
    Suspended *s = r ? find_suspended(r, tag) : NULL;

    if (!r) return -ENOTSUP;
    if (!s) return -ENOENT;
    s->resumed = true;
    vit_fiber_cond_wake_all(&r->changed);
    return 0;
}

int vit_debug_remove_break(VitBlockNode *node, const char *tag)
{
    VitDebugRules *r = rules_below(node);
    bool any = false;

    if (!r) return -ENOTSUP;
    for (guint i = r->all->len; i-- > 0;) {
        const Rule *rule = r->all->pdata[i];
        if (rule->action != SUSPEND || strcmp(rule->tag, tag) != 0) continue;
        g_ptr_array_remove_index(r->all, i);
        any = true;
    }
    return let_go(r, tag) || any ? 0 : -ENOENT;
}

bool vit_debug_is_suspended(VitBlockNode *node, const char *tag)
{
    const VitDebugRules *r = rules_below(node);

    return r && find_suspended(r, tag);
}
