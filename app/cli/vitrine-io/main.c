/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-io/main.c - reads and writes stretches of a disk image, for tests and for the
 * curious: the options and commands of qemu-io */
#include "app/cli/vitrine-io/io.h"

#include "app/cli/modes.h"
#include "app/cli/overlay.h"
#include "app/cli/tool.h"
#include "block/objects.h"
#include "engine/core/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage_text[] =
    "Usage: %s [OPTIONS]... [-c STRING]... [file]\n"
    "Vitrine disk exerciser\n\n"
    "      --object OBJECTDEF   define an object such as 'secret' for passwords or keys\n"
    "      --image-opts         treat file as option string\n"
    "  -c, --cmd STRING         execute command with its arguments from the given string\n"
    "  -f, --format FMT         specifies the block driver to use\n"
    "  -r, --read-only          open read-only\n"
    "  -s, --snapshot           writes go to a temporary file\n"
    "  -n, --nocache            disable host cache, short for -t none\n"
    "  -C, --copy-on-read       enable copy-on-read\n"
    "  -t, --cache=MODE         use the given cache mode for the image\n"
    "  -d, --discard=MODE       use the given discard mode for the image (default: unmap)\n"
    "  -i, --aio=MODE           use AIO mode (threads, native or io_uring)\n"
    "  -U, --force-share        force shared permissions\n"
    "  -h, --help               display this help and exit\n"
    "  -V, --version            output version information and exit\n\n"
    "See '%s -c help' for information on available commands.\n";

/* ---- numbers --------------------------------------------------------------------------------- */

int64_t io_number(const char *text)
{
    uint64_t value;
    bool good = vit_parse_size_strict(text, &value);

    if (!good && errno != ERANGE) {
        printf("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n",
               text);
        return -1;
    }
    if (!good || value > INT64_MAX) {
        printf("Parsing error: argument too large -- %s\n", text);
        return -1;
    }
    return (int64_t)value;
}

char *io_size(double value)
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    unsigned unit = 0;

    while (value >= 1024 && unit + 1 < G_N_ELEMENTS(units)) {
        value /= 1024;
        unit++;
    }
    g_autofree char *number = g_strdup_printf(unit ? "%.3f" : "%f", value);
    if (g_str_has_suffix(number, ".000") || value == (double)(uint64_t)value)
        *strchr(number, '.') = 0;
    return g_strdup_printf("%s %s", number, units[unit]);
}

/* ---- the image ------------------------------------------------------------------------------- */

/* An overlay in the place of the image that is open. */
static bool put_overlay(IoTool *tool, GError **error)
{
    VitBlockNode *below = tool->node;

    tool->node = cli_open_overlay(tool->graph, below, error);
    vit_block_node_unref(below);
    return tool->node != NULL;
}

bool io_open(IoTool *tool, const char *path, const char *format, JsonObject *options,
             unsigned flags, bool temporary)
{
    bool writable = !(flags & VIT_OPEN_READ_ONLY);
    g_autoptr(GError) error = NULL;

    if (temporary) flags |= VIT_OPEN_READ_ONLY;
    if (tool->node) {
        fprintf(stderr, "%s: file open already, try 'help close'\n", program_invocation_short_name);
        return false;
    }
    if (flags & VIT_OPEN_READ_ONLY) flags |= VIT_OPEN_SHARE;
    if (path) {
        tool->node = vit_block_graph_open_image(tool->graph, path, format, options, flags, &error);
    } else {
        g_autoptr(VitBlockArgs) args = vit_block_args_new("", options, &error);
        if (args) {
            tool->node = vit_block_graph_open_with(tool->graph, args, flags, &error);
        }
    }
    if (tool->node && temporary && writable && put_overlay(tool, &error)) return true;
    if (!tool->node)
        fprintf(stderr, "%s: can't open%s%s: %s\n", program_invocation_short_name,
                path ? " device " : "", path ?: "", vit_block_error_text(error));
    else cli_warn_probed(tool->node);
    return tool->node != NULL;
}

void io_close(IoTool *tool)
{
    g_clear_pointer(&tool->node, vit_block_node_unref);
}

/* ---- commands -------------------------------------------------------------------------------- */

static const IoCommand *const tables[] = { io_transfer_commands, io_image_commands,
                                           io_break_commands };

const IoCommand *io_find(const char *name)
{
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const IoCommand *c = tables[t]; c->name; c++) {
            if (strcmp(c->name, name) == 0 || (c->other && strcmp(c->other, name) == 0)) return c;
        }
    }
    return NULL;
}

void io_usage(const IoCommand *c)
{
    printf("%s %s-- %s\n", c->name, c->args, c->help);
}

static int help(int argc, char **argv)
{
    if (argc > 1) {
        const IoCommand *c = io_find(argv[1]);
        if (!c) {
            printf("command %s not found\n", argv[1]);
            return -1;
        }
        io_usage(c);
        if (c->more) printf("\n%s\n", c->more);
        return 0;
    }
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const IoCommand *c = tables[t]; c->name; c++) io_usage(c);
    }
    printf("help [command] -- help for one or all commands\nquit -- exit the program\n\n"
           "Use 'help commandname' for extended help.\n");
    return 0;
}

int io_run_line(IoTool *tool, const char *line)
{
    g_auto(GStrv) parts = g_strsplit_set(line, " \t\n", -1);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    for (char **p = parts; *p; p++) {
        if (**p) g_ptr_array_add(argv, *p);
    }
    int argc = (int)argv->len;
    g_ptr_array_add(argv, NULL);
    char **args = (char **)argv->pdata;
    if (argc == 0) return 0;
    if (strcmp(args[0], "quit") == 0 || strcmp(args[0], "q") == 0) {
        tool->quit = true;
        return 0;
    }
    if (strcmp(args[0], "help") == 0 || strcmp(args[0], "?") == 0) return help(argc, args);
    const IoCommand *c = io_find(args[0]);
    if (!c) {
        fprintf(stderr, "command \"%s\" not found\n", args[0]);
        return -1;
    }
    if (c->needs_file && !tool->node) {
        fprintf(stderr, "no file open, try 'help open'\n");
        return -1;
    }
    if (argc - 1 < c->min_args || (c->max_args >= 0 && argc - 1 > c->max_args)) {
        if (c->max_args < 0)
            fprintf(stderr, "bad argument count %d to %s, expected at least %d arguments\n",
                    argc - 1, c->name, c->min_args);
        else if (c->max_args == c->min_args)
            fprintf(stderr, "bad argument count %d to %s, expected %d arguments\n", argc - 1,
                    c->name, c->min_args);
        else
            fprintf(stderr, "bad argument count %d to %s, expected between %d and %d arguments\n",
                    argc - 1, c->name, c->min_args, c->max_args);
        return -1;
    }
    optind = 0;
    return c->run(tool, argc, args);
}

static int from_input(IoTool *tool)
{
    char *line = NULL;
    size_t room = 0;
    int result = 0;

    while (!tool->quit) {
        printf("%s> ", program_invocation_short_name);
        fflush(stdout);
        if (getline(&line, &room, stdin) < 0) break;
        if (io_run_line(tool, line) < 0) result = -1;
        fflush(stdout);
    }
    free(line);
    return result;
}

/* ---- the command line ------------------------------------------------------------------------ */

enum { OPT_IMAGE_OPTS = 256, OPT_OBJECT };

static const struct option long_options[] = {
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { "cmd", required_argument, NULL, 'c' },
    { "format", required_argument, NULL, 'f' },
    { "read-only", no_argument, NULL, 'r' },
    { "snapshot", no_argument, NULL, 's' },
    { "nocache", no_argument, NULL, 'n' },
    { "copy-on-read", no_argument, NULL, 'C' },
    { "misalign", no_argument, NULL, 'm' },
    { "native-aio", no_argument, NULL, 'k' },
    { "aio", required_argument, NULL, 'i' },
    { "discard", required_argument, NULL, 'd' },
    { "cache", required_argument, NULL, 't' },
    { "force-share", no_argument, NULL, 'U' },
    { "image-opts", no_argument, NULL, OPT_IMAGE_OPTS },
    { "object", required_argument, NULL, OPT_OBJECT },
    { "trace", required_argument, NULL, 'T' },
    { NULL, 0, NULL, 0 },
};

typedef struct {
    const char *format;
    GPtrArray *commands; /* of borrowed char* */
    GPtrArray *objects; /* of borrowed char* */
    bool image_opts, copy_on_read;
    JsonObject *options; /* a reference */
} CommandLine;

/* False: ends with status *status. */
static bool take_options(IoTool *tool, CommandLine *line, int argc, char **argv, int *status)
{
    bool writethrough;
    int c;

    *status = 1;
    tool->flags = VIT_OPEN_DISCARD;
    while ((c = getopt_long(argc, argv, "hVc:d:f:rsnCmki:t:UT:", long_options, NULL)) != -1) {
        switch (c) {
        case 'c': g_ptr_array_add(line->commands, optarg); break;
        case 'f': line->format = optarg; break;
        case 'r': tool->flags |= VIT_OPEN_READ_ONLY; break;
        case 's': tool->temporary = true; break;
        case 'n': tool->flags |= VIT_OPEN_DIRECT; break;
        case 'C': line->copy_on_read = true; break;
        case 'm':
        case 'T': break; /* memory is aligned as the host needs it; nothing is traced */
        case 'k': json_object_set_string_member(line->options, "file.aio", "native"); break;
        case 'i':
            if (!cli_aio_mode(optarg)) {
                fprintf(stderr, "%s: Invalid aio option: %s\n", program_invocation_short_name,
                        optarg);
                return false;
            }
            json_object_set_string_member(line->options, "file.aio", optarg);
            break;
        case 'd':
            if (!cli_discard_mode(optarg, &tool->flags)) {
                fprintf(stderr, "%s: Invalid discard option: %s\n", program_invocation_short_name,
                        optarg);
                return false;
            }
            break;
        case 't':
            if (!cli_cache_mode(optarg, &tool->flags, &writethrough)) {
                fprintf(stderr, "%s: Invalid cache option: %s\n", program_invocation_short_name,
                        optarg);
                return false;
            }
            break;
        case 'U': tool->flags |= VIT_OPEN_FORCE_SHARE; break;
        case OPT_IMAGE_OPTS: line->image_opts = true; break;
        case OPT_OBJECT: g_ptr_array_add(line->objects, optarg); break;
        case 'V':
            cli_print_version("version ");
            *status = 0;
            return false;
        case 'h':
            printf(usage_text, program_invocation_short_name, program_invocation_short_name);
            *status = 0;
            return false;
        default:
            printf(usage_text, program_invocation_short_name, program_invocation_short_name);
            return false;
        }
    }
    if (argc - optind > 1) {
        printf(usage_text, program_invocation_short_name, program_invocation_short_name);
        return false;
    }
    return true;
}

static bool open_named(IoTool *tool, const CommandLine *line, const char *name)
{
    if (!line->image_opts)
        return io_open(tool, name, line->format, line->options, tool->flags, tool->temporary);
    g_autoptr(GError) error = NULL;
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("", name, NULL, &error);
    if (!args) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, vit_block_error_text(error));
        return false;
    }
    if (line->format) {
        fprintf(stderr, "%s: --image-opts and -f are mutually exclusive\n",
                program_invocation_short_name);
        return false;
    }
    return io_open(tool, NULL, NULL, vit_block_args_object(args), tool->flags, tool->temporary);
}

static bool add_objects(IoTool *tool, const CommandLine *line)
{
    for (guint i = 0; i < line->objects->len; i++) {
        g_autoptr(GError) error = NULL;
        if (!vit_block_objects_add_text(vit_block_graph_objects(tool->graph),
                                        line->objects->pdata[i], &error)) {
            fprintf(stderr, "%s: %s\n", program_invocation_short_name, vit_block_error_text(error));
            return false;
        }
    }
    return true;
}

/* "-C": a filter above the image. */
static bool add_copy_on_read(IoTool *tool, const char *name)
{
    g_autoptr(GError) error = NULL;

    if (vit_block_info(tool->node).read_only) {
        fprintf(stderr, "%s: can't open%s%s: Can't use copy-on-read on read-only device\n",
                program_invocation_short_name, name ? " device " : "", name ?: "");
        return false;
    }
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-C", "driver=copy-on-read", NULL, NULL);

    vit_block_args_set(args, "file", vit_block_node_name(tool->node));
    VitBlockNode *filter = vit_block_graph_open(tool->graph, args, &error);
    if (!filter) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, vit_block_error_text(error));
        return false;
    }
    vit_block_node_unref(tool->node);
    tool->node = filter;
    return true;
}

int main(int argc, char **argv)
{
    IoTool tool = { 0 };
    CommandLine line = { .commands = g_ptr_array_new(),
                         .objects = g_ptr_array_new(),
                         .options = json_object_new() };
    int status = 1, result = 0;

    tool.thread = vit_io_thread_new("block");
    tool.graph = vit_block_graph_new(tool.thread);
    tool.idle.thread = tool.thread;
    if (take_options(&tool, &line, argc, argv, &status)) {
        const char *name = argv[optind];
        status = 1;
        if (!add_objects(&tool, &line)) {
            status = 1;
        } else if (!name || (open_named(&tool, &line, name) &&
                             (!line.copy_on_read ||
                              add_copy_on_read(&tool, line.image_opts ? NULL : name)))) {
            for (guint i = 0; i < line.commands->len && !tool.quit; i++) {
                if (io_run_line(&tool, line.commands->pdata[i]) < 0) result = -1;
            }
            if (line.commands->len == 0) result = from_input(&tool);
            status = result < 0;
        }
        (void)io_run_line(&tool, "aio_flush");
    }
    io_close(&tool);
    vit_block_graph_free(tool.graph);
    vit_io_thread_free(tool.thread);
    g_ptr_array_unref(line.commands);
    g_ptr_array_unref(line.objects);
    json_object_unref(line.options);
    return status;
}
