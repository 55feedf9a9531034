/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-io/break.c - the commands that hold requests up at moments of a driver's work, in
 * images that stand on blkdebug */
#include "app/cli/vitrine-io/io.h"

#include "block/filters/blkdebug.h"

#include <errno.h>
#include <stdio.h>

typedef struct {
    IoTool *tool;
    const char *event, *tag;
    int result;
} Work;

static void break_fiber(void *opaque)
{
    Work *w = opaque;

    w->result = vit_debug_break(w->tool->node, w->event, w->tag);
}

static void remove_fiber(void *opaque)
{
    Work *w = opaque;

    w->result = vit_debug_remove_break(w->tool->node, w->tag);
}

static void resume_fiber(void *opaque)
{
    Work *w = opaque;

    w->result = vit_debug_resume(w->tool->node, w->tag);
}

enum { LOOK_NS = 1000000 };

static void wait_fiber(void *opaque)
{
    Work *w = opaque;

    while (!vit_debug_is_suspended(w->tool->node, w->tag))
        vit_fiber_sleep(w->tool->thread, LOOK_NS);
}

static int run(IoTool *tool, VitFiberFunc fn, const char *event, const char *tag)
{
    Work w = { tool, event, tag, 0 };

    vit_fiber_run_sync(tool->thread, fn, &w);
    return w.result;
}

static int cmd_break(IoTool *tool, int argc, char **argv)
{
    int result = run(tool, break_fiber, argv[1], argv[2]);

    if (result < 0) printf("Could not set breakpoint: %s\n", g_strerror(-result));
    return result;
}

static int cmd_remove_break(IoTool *tool, int argc, char **argv)
{
    int result = run(tool, remove_fiber, NULL, argv[1]);

    if (result < 0) printf("Could not remove breakpoint %s: %s\n", argv[1], g_strerror(-result));
    return result;
}

static int cmd_resume(IoTool *tool, int argc, char **argv)
{
    int result = run(tool, resume_fiber, NULL, argv[1]);

    if (result < 0) printf("Could not resume request: %s\n", g_strerror(-result));
    else printf("blkdebug: Resuming request '%s'\n", argv[1]);
    return result;
}

static int cmd_wait_break(IoTool *tool, int argc, char **argv)
{
    int result = run(tool, wait_fiber, NULL, argv[1]);

    printf("blkdebug: Suspended request '%s'\n", argv[1]);
    return result;
}

const IoCommand io_break_commands[] = {
    { "break", NULL, cmd_break, 2, 2, true, "event tag ",
      "sets a breakpoint on event and tags the stopped request as tag", NULL },
    { "remove_break", NULL, cmd_remove_break, 1, 1, true, "tag ", "remove a breakpoint by tag",
      NULL },
    { "resume", NULL, cmd_resume, 1, 1, true, "tag ", "resumes the request tagged as tag", NULL },
    { "wait_break", NULL, cmd_wait_break, 1, 1, true, "tag ",
      "waits for the suspension of a request", NULL },
    { NULL, NULL, NULL, 0, 0, false, NULL, NULL, NULL },
};
