/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/img.h - what the subcommands of vitrine-img share
 *
 * The conventions (options, wording, exit codes, JSON) are those of qemu-img 10.0, as observed. */
#pragma once
#include "block/driver.h"
#include "block/job.h"
#include "engine/core/fiber.h"
#include "engine/core/options.h"

#include <getopt.h>

typedef struct {
    const char *program; /* borrowed: "vitrine-img", or what a link to it is called */
    const char *command; /* borrowed: "convert" */
    VitIoThread *thread; /* owned */
    VitBlockGraph *graph; /* owned */
    VitBlockJobs *jobs; /* owned */
    /* options that many subcommands have */
    const char *format; /* -f; borrowed */
    bool image_opts, quiet, progress, force_share, json;
    bool alone; /* nobody writes to raw images while they are read */
    bool late_checks; /* the subcommand itself looks whether its options fit together */
    double shown; /* percent that the progress line says, -1: none yet */
    int64_t shown_at; /* monotonic microseconds */
    bool on_terminal;
    bool line_open; /* progress is being shown, and its line wants an end */
} Img;

typedef struct {
    const char *name, *summary, *usage;
    int (*run)(Img *img, int argc, char **argv);
} ImgCommand;

/* ---- common.c ---- */

enum { /* what getopt_long() returns for the long options without a letter */
       IMG_OPT_IMAGE_OPTS = 256,
       IMG_OPT_OBJECT,
       IMG_OPT_OUTPUT,
       IMG_OPT_OWN /* and more: a subcommand's own */
};
#define IMG_HELP        { "help", no_argument, NULL, 'h' }
#define IMG_QUIET       { "quiet", no_argument, NULL, 'q' }
#define IMG_PROGRESS    { "progress", no_argument, NULL, 'p' }
#define IMG_FORMAT      { "format", required_argument, NULL, 'f' }
#define IMG_FORCE_SHARE { "force-share", no_argument, NULL, 'U' }
#define IMG_IMAGE_OPTS  { "image-opts", no_argument, NULL, IMG_OPT_IMAGE_OPTS }
#define IMG_OBJECT      { "object", required_argument, NULL, IMG_OPT_OBJECT }
#define IMG_OUTPUT      { "output", required_argument, NULL, IMG_OPT_OUTPUT }

/* getopt_long() that takes the common options itself; -1: no more, '?': said what is wrong, or
 * helped (then *status is the exit status). */
int img_next_option(Img *img, int argc, char **argv, const char *letters,
                    const struct option *options, int *status);
/* Messages on the standard error, with the program's name.  They return the failure status given.
 */
int img_fail(const Img *img, int status, const char *format, ...) G_GNUC_PRINTF(3, 4);
int img_fail_error(const Img *img, int status, GError *error /* takes it */);
int img_fail_usage(const Img *img, int status, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* On the standard output unless -q. */
void img_say(const Img *img, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* cache: NULL or a mode; false when there is no such mode.  *fua: each write is durable. */
[[nodiscard]] bool img_cache_flags(const char *cache, unsigned *flags, bool *fua);
/* Opens name (a specification with image_opts) and says on the standard error what is wrong. */
[[nodiscard]] VitBlockNode *img_open(Img *img, const char *name, const char *format,
                                     bool image_opts, unsigned flags);
/* The same for an image just created, with extra options of its driver (borrowed). */
[[nodiscard]] VitBlockNode *img_open_target(Img *img, const char *name, const char *format,
                                            JsonObject *extra, unsigned flags);
/* What an encrypted image was created with ("-o key-secret=...") and is opened with. */
void img_add_key_secrets(JsonObject *extra, const VitBlockArgs *args);
/* What is wrong with a size that vit_parse_size_strict() refuses; returns 1. */
int img_fail_size(const Img *img, const char *prefix, const char *name, const char *text);
char *img_size_text(uint64_t bytes); /* "1.5 MiB"; the caller frees */

/* The line of -p: done of total.  img_progress_begin() begins it unless it has begun;
 * img_progress_end() ends it. */
void img_progress_begin(Img *img);
void img_progress(Img *img, uint64_t done, uint64_t total, const VitBlockJobInfo *info);
void img_progress_end(Img *img);

/* Starts the job (taking the reference), shows its progress, and waits: SIGINT cancels it, SIGUSR1
 * shows how far it is.  NULL: there is none, for `refused`.  0, or 1 having said why. */
int img_run_job(Img *img, VitBlockJob *job, const GError *refused);
/* The same for those who say themselves why it has failed, and end the line of -p. */
[[nodiscard]] bool img_wait_job(Img *img, VitBlockJob *job, GError **error);
enum { IMG_JOB_FLAGS = VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS };
/* Runs fn on a fiber of the tool's thread. */
void img_run(Img *img, VitFiberFunc fn, void *opaque);

/* ---- the subcommands ---- */
int img_amend(Img *img, int argc, char **argv);
int img_bench(Img *img, int argc, char **argv);
int img_bitmap(Img *img, int argc, char **argv);
int img_check(Img *img, int argc, char **argv);
int img_commit(Img *img, int argc, char **argv);
int img_compare(Img *img, int argc, char **argv);
int img_convert(Img *img, int argc, char **argv);
int img_create(Img *img, int argc, char **argv);
int img_dd(Img *img, int argc, char **argv);
int img_info(Img *img, int argc, char **argv);
int img_map(Img *img, int argc, char **argv);
int img_measure(Img *img, int argc, char **argv);
int img_rebase(Img *img, int argc, char **argv);
int img_resize(Img *img, int argc, char **argv);
int img_snapshot(Img *img, int argc, char **argv);
