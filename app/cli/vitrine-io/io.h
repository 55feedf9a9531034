/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-io/io.h - what the files of vitrine-io share: one open image, commands on it */
#pragma once
#include "block/co.h"
#include "block/graph.h"

typedef struct {
    VitIoThread *thread;      /* owned */
    VitBlockGraph *graph;       /* owned */
    VitBlockNode *node;        /* a reference; NULL: none is open */
    unsigned flags;       /* VitBlockOpenFlags of the command line */
    bool temporary;       /* -s of the command line */
    bool quit;
    /* aio_*: on the thread */
    unsigned in_flight;
    VitFiberCond idle;
} IoTool;

typedef struct {
    const char *name, *other;   /* other: a short name, NULL: none */
    int (*run)(IoTool *tool, int argc, char **argv);      /* 0, or -1 for a failed command */
    int min_args, max_args;                             /* besides the name; -1: any number */
    bool needs_file;
    const char *args, *help;
    const char *more;           /* extended help, NULL: none */
} IoCommand;

/* Each is ended by a NULL name. */
extern const IoCommand io_transfer_commands[], io_image_commands[], io_break_commands[];

/* The command line of one command; prints its own errors. */
int io_run_line(IoTool *tool, const char *line);
/* Prints the one-line help of a command, as a wrong option does. */
void io_usage(const IoCommand *command);
const IoCommand *io_find(const char *name);

/* temporary: writes go to an overlay that is gone when the image is closed. */
bool io_open(IoTool *tool, const char *path, const char *format, JsonObject *options,
             unsigned flags, bool temporary);
void io_close(IoTool *tool);

/* "64k" to a number; prints what is wrong and returns -1.  Values up to INT64_MAX. */
int64_t io_number(const char *text);
/* "1 MiB", "90.211 MiB". */
char *io_size(double value);
