/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/hmp.c - the human monitor: a prompt, a line that can be edited, command lookup
 *
 * Keys as in a shell: Backspace, Ctrl-U, Ctrl-W, Ctrl-C, Ctrl-L, Up and Down for earlier lines, Tab
 * completes commands.  The prompt is "(vitrine) ". */
#include "engine/control/control-private.h"
#include "engine/core/suggest.h"

#include <string.h>

enum { MAX_LINE = 4096, MAX_HISTORY = 50 };
enum { CTRL_C = 3, CTRL_L = 12, CTRL_U = 21, CTRL_W = 23, ESC = 27 };

typedef struct {
    ControlSession *session;    /* borrowed */
    GString        *line;       /* owned */
    GPtrArray      *history;    /* of char*, owned; newest last */
    unsigned        back;       /* how far up in the history; 0: the new line */
    char           *draft;      /* owned: the new line while an earlier one is shown */
    unsigned        cpu;
    enum { PLAIN, ESCAPE, BRACKET } escape;
    bool            after_cr;   /* a line feed belongs to the return before it */
} Hmp;

static const char prompt[] = "(vitrine) ";

/* ---- Commands -------------------------------------------------------------------------------- */

static const HmpCommand *find(const HmpCommand *table, const char *name, size_t length)
{
    for (const HmpCommand *row = table; row->name; row++) {
        if ((strlen(row->name) == length && !strncmp(row->name, name, length)) ||
            (row->alias && strlen(row->alias) == length && !strncmp(row->alias, name, length)))
            return row;
    }
    return NULL;
}

static void unknown(HmpContext *h, const char *what, const HmpCommand *table, const char *name)
{
    const char *names[64];
    size_t n = 0;

    for (const HmpCommand *row = table; row->name && n < G_N_ELEMENTS(names) - 1; row++)
        names[n++] = row->name;
    names[n] = NULL;
    g_autofree char *hint = vit_suggest_phrase(name, names);
    g_string_append_printf(h->out, "unknown %s: '%s'%s\n", what, name, hint);
}

void hmp_execute(HmpContext *h, const char *line)
{
    g_autoptr(GError) error = NULL;
    const HmpCommand *table = hmp_commands;
    g_autofree char *text = g_strstrip(g_strdup(line));
    const char *args = text;

    for (;;) {
        size_t length = strcspn(args, " \t");
        const HmpCommand *row;
        if (table == hmp_commands) {        /* "x/4i": the format sticks to the name */
            size_t slash = strcspn(args, "/");
            length = MIN(length, slash);
        }
        if (!length)
            return;
        row = find(table, args, length);
        if (!row) {
            g_autofree char *name = g_strndup(args, length);
            unknown(h, table == hmp_commands ? "command" : "subject of info", table, name);
            return;
        }
        args += length + strspn(args + length, " \t");
        if (row->run) {
            if (!row->run(h, args, &error))
                g_string_append_printf(h->out, "Error: %s\n", error->message);
            return;
        }
        table = hmp_info_commands;          /* the one row without a function */
        if (!*args) {
            for (row = table; row->name; row++)
                g_string_append_printf(h->out, "info %-12s %s\n", row->name, row->help);
            return;
        }
    }
}

char *hmp_complete(const char *line)
{
    bool info = g_str_has_prefix(line, "info ");
    const char *word = info ? line + 5 : line, *found = NULL;
    size_t length = strlen(word), common = 0;

    if (strpbrk(word, " \t"))
        return NULL;
    for (const HmpCommand *row = info ? hmp_info_commands : hmp_commands; row->name; row++) {
        if (strncmp(row->name, word, length))
            continue;
        if (!found) {
            found = row->name;
            common = strlen(found);
        }
        while (strncmp(found, row->name, common))
            common--;
    }
    if (!found || (common == length && found[common]))
        return NULL;
    return g_strdup_printf("%s%.*s%s", info ? "info " : "", (int) common, found,
                           found[common] ? "" : " ");
}

/* ---- Line ------------------------------------------------------------------------------------ */

static void say(Hmp *m, const char *text)
{
    control_session_write(m->session, text, strlen(text));
}

static void redraw(Hmp *m)
{
    say(m, "\r\033[K");
    say(m, prompt);
    say(m, m->line->str);
}

static void run_line(Hmp *m)
{
    HmpContext h = { .control = control_session_control(m->session), .out = g_string_new(NULL),
                     .cpu = m->cpu };
    GPtrArray *old = m->history;

    say(m, "\r\n");
    if (m->line->len && (!old->len || strcmp(old->pdata[old->len - 1], m->line->str))) {
        g_ptr_array_add(old, g_strdup(m->line->str));
        if (old->len > MAX_HISTORY)
            g_ptr_array_remove_index(old, 0);
    }
    hmp_execute(&h, m->line->str);
    m->cpu = h.cpu;
    g_string_replace(h.out, "\n", "\r\n", 0);
    control_session_write(m->session, h.out->str, h.out->len);
    g_string_free(h.out, TRUE);
    g_string_set_size(m->line, 0);
    m->back = 0;
    say(m, prompt);
    control_session_command_done(m->session);
}

static void show_history(Hmp *m, bool up)
{
    if (up ? m->back >= m->history->len : m->back == 0)
        return;
    if (m->back == 0) {
        g_free(m->draft);
        m->draft = g_strdup(m->line->str);
    }
    m->back += up ? 1u : -1u;
    g_string_assign(m->line, m->back ? m->history->pdata[m->history->len - m->back] : m->draft);
    redraw(m);
}

/* One character with all its bytes; true when there was one. */
static bool erase(Hmp *m)
{
    if (!m->line->len)
        return false;
    size_t n = m->line->len - 1;
    while (n > 0 && ((uint8_t) m->line->str[n] & 0xc0) == 0x80)
        n--;
    g_string_set_size(m->line, n);
    return true;
}

static void erase_word(Hmp *m)
{
    while (m->line->len && m->line->str[m->line->len - 1] == ' ')
        erase(m);
    while (m->line->len && m->line->str[m->line->len - 1] != ' ')
        erase(m);
    redraw(m);
}

static void type(Hmp *m, uint8_t byte)
{
    g_autofree char *longer = NULL;

    switch (byte) {
    case '\b':
    case 0x7f:
        if (erase(m))
            say(m, "\b \b");
        break;
    case CTRL_U:
        g_string_set_size(m->line, 0);
        redraw(m);
        break;
    case CTRL_W:
        erase_word(m);
        break;
    case CTRL_L:
        say(m, "\033[H\033[2J");
        redraw(m);
        break;
    case CTRL_C:
        g_string_set_size(m->line, 0);
        say(m, "\r\n");
        say(m, prompt);
        break;
    case '\t':
        longer = hmp_complete(m->line->str);
        if (longer) {
            g_string_assign(m->line, longer);
            redraw(m);
        }
        break;
    case ESC:
        m->escape = ESCAPE;
        break;
    default:
        if (byte < ' ' || m->line->len >= MAX_LINE)
            break;
        g_string_append_c(m->line, (char) byte);
        control_session_write(m->session, (const char *) &byte, 1);
    }
}

/* ---- Session --------------------------------------------------------------------------------- */

static void init(void *state, ControlSession *session)
{
    Hmp *m = state;

    m->session = session;
    m->line = g_string_new(NULL);
    m->history = g_ptr_array_new_with_free_func(g_free);
}

static void finish(void *state)
{
    Hmp *m = state;

    g_string_free(m->line, TRUE);
    g_ptr_array_unref(m->history);
    g_free(m->draft);
}

static void opened(void *state)
{
    Hmp *m = state;

    g_string_set_size(m->line, 0);
    m->back = 0;
    m->escape = PLAIN;
    say(m, "Vitrine " VIT_VERSION " monitor - type 'help' for the commands\r\n");
    say(m, prompt);
}

static size_t input(void *state, const uint8_t *data, size_t size)
{
    Hmp *m = state;

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = data[i];
        bool end = byte == '\r' || (byte == '\n' && !m->after_cr);
        if (m->escape == ESCAPE) {
            m->escape = byte == '[' || byte == 'O' ? BRACKET : PLAIN;
        } else if (m->escape == BRACKET) {
            if (byte == 'A' || byte == 'B')
                show_history(m, byte == 'A');
            m->escape = byte >= 0x40 && byte <= 0x7e ? PLAIN : BRACKET;
        } else if (end) {
            m->after_cr = byte == '\r';
            run_line(m);
            return i + 1;
        } else if (byte != '\n') {
            type(m, byte);
        }
        m->after_cr = byte == '\r';
    }
    return size;
}

const ControlProtocol hmp_protocol = {
    .name = "monitor", .state_size = sizeof(Hmp), .init = init, .finish = finish, .opened = opened,
    .input = input,
};
