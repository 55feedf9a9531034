/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/main.c - vitrine-img: makes, converts, examines and changes disk images */
#include "app/cli/vitrine-img/img.h"

#include "app/cli/tool.h"
#include "app/cli/vitrine-img/usage.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const ImgCommand commands[] = {
    { "amend", "Update format-specific options of the image", img_usage_amend, img_amend },
    { "bench", "Run simple image benchmark", img_usage_bench, img_bench },
    { "bitmap", "Change persistent bitmaps of the image", img_usage_bitmap, img_bitmap },
    { "check", "Check basic image integrity", img_usage_check, img_check },
    { "commit", "Commit image to its backing file", img_usage_commit, img_commit },
    { "compare", "Check if two images have the same contents", img_usage_compare, img_compare },
    { "convert", "Copy one image to another with optional format conversion", img_usage_convert,
      img_convert },
    { "create", "Create and format new image file", img_usage_create, img_create },
    { "dd", "Copy a part of an image with optional format conversion", img_usage_dd, img_dd },
    { "info", "Display information about image", img_usage_info, img_info },
    { "map", "Dump image metadata", img_usage_map, img_map },
    { "measure", "Calculate the file size that a new image needs", img_usage_measure, img_measure },
    { "rebase", "Change backing file of the image", img_usage_rebase, img_rebase },
    { "resize", "Resize the image to the new size", img_usage_resize, img_resize },
    { "snapshot", "List or change snapshots within image", img_usage_snapshot, img_snapshot },
};

static void print_help(const char *program)
{
    cli_print_version("version ");
    printf("Vitrine disk image utility.  Usage:\n\n"
           "  %s [standard options] COMMAND [--help | command options]\n\n"
           "Standard options:\n"
           "  -h, --help\n     display this help and exit\n"
           "  -V, --version\n     display version info and exit\n"
           "  -T,--trace TRACE\n     accepted for compatibility, does nothing\n\n"
           "Recognized commands (run %s COMMAND --help for command-specific help):\n\n",
           program, program);
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++)
        printf("  %s - %s\n", commands[i].name, commands[i].summary);
    printf("\nSupported image formats:\n\n ");
    int column = 1;
    for (const VitBlockDriver *const *d = vit_block_drivers(); *d; d++) {
        int length = (int)strlen((*d)->name) + 1;
        if (column + length > 74) column = printf("\n ") - 1;
        column += printf(" %s", (*d)->name);
    }
    printf("\n");
}

static void print_usage(const Img *img, const ImgCommand *command)
{
    printf("%s.  Usage:\n\n  %s %s %s", command->summary, img->program, command->name,
           command->usage);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        { "version", no_argument, NULL, 'V' },
        { "trace", required_argument, NULL, 'T' },
        { NULL },
    };
    g_autofree char *program = g_path_get_basename(argv[0]);
    Img img = { .program = program, .command = "", .shown = -1 };
    const ImgCommand *command = NULL;
    int c;

    signal(SIGPIPE, SIG_IGN);
    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:hVT:", options, NULL)) != -1) {
        switch (c) {
        case 'h': print_help(program); return 0;
        case 'V': cli_print_version("version "); return 0;
        case 'T': break;
        default:
            fprintf(stderr, "%s: unrecognized option '%s'\nTry '%s --help' for more info\n",
                    program, argv[optind - 1], program);
            return 1;
        }
    }
    if (optind >= argc) {
        fprintf(stderr, "%s: Not enough arguments\nTry '%s --help' for more info\n", program,
                program);
        return 1;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, argv[optind]) == 0) command = &commands[i];
    }
    if (!command) {
        fprintf(stderr, "%s: Command not found: %s\nTry '%s --help' for more info\n", program,
                argv[optind], program);
        return 1;
    }
    int rest = argc - optind;
    char **own = g_memdup2(argv + optind, (size_t)(rest + 1) * sizeof *argv);
    for (int i = 1; i < rest && strcmp(own[i], "--") != 0; i++) {
        if (strcmp(own[i], "--help") == 0 || strcmp(own[i], "-h") == 0) {
            print_usage(&img, command);
            g_free(own);
            return 0;
        }
    }
    g_autofree char *prefix = g_strdup_printf("%s %s", program, command->name);
    own[0] = prefix; /* getopt's messages */
    optind = 0;
    opterr = 1;
    img.command = command->name;
    img.on_terminal = isatty(STDOUT_FILENO);
    img.thread = vit_io_thread_new("vitrine-img");
    img.graph = vit_block_graph_new(img.thread);
    img.jobs = vit_block_jobs_new(img.thread);
    int status = command->run(&img, rest, own);
    if (img.line_open) img_progress_end(&img);
    vit_block_jobs_free(img.jobs);
    vit_block_graph_free(img.graph);
    vit_io_thread_free(img.thread);
    g_free(own);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror(program);
        if (status == 0) status = 1;
    }
    return status;
}
