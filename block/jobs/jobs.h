/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/jobs.h - the kinds of jobs: what each is told, and how it is made
 *
 * Each returns a job that has not started (vit_block_job_start()), or NULL with an error.  Nodes
 * are borrowed: the job holds references of its own until it has ended. */
#pragma once
#include "block/driver.h"
#include "block/job.h"

typedef struct {
    VitBlockNode *const *sources; /* one after the other */
    unsigned n_sources;
    VitBlockNode *target; /* at least as big */
    uint64_t sparse; /* bytes: the shortest run of zeroes that is left out; 0: all is written */
    unsigned parallel; /* requests at a time; 0: chosen */
    uint32_t write_flags; /* VIT_BLOCK_FUA */
    bool compressed;
    bool target_is_zero; /* it reads as zeroes everywhere */
    bool target_has_backing; /* copies what each source stores above its backing file only */
    uint64_t backing_size; /* of the target's backing file */
    bool salvage; /* zeroes where a source cannot be read, with a message */
    bool copy_range; /* lets the file system copy between plain files where it can */
    bool unordered; /* pieces are written as they come, not in order of their place */
    GPtrArray *made; /* of char*: files made for this, removed when the job fails; NULL: none */
    void (*message)(void *opaque, const char *text); /* warnings; NULL: none */
    void *opaque;
} VitBlockConvert;
[[nodiscard]] VitBlockJob *vit_block_convert_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                                 const VitBlockConvert *convert, GError **error);

/* Writes what top stores above base into base, which is opened for writing and grows when it must.
 */
typedef struct {
    VitBlockNode *top, *base; /* base: below top */
    bool make_empty; /* afterwards top stores nothing; base is what it stands on */
    uint32_t write_flags; /* VIT_BLOCK_FUA */
} VitBlockCommit;
[[nodiscard]] VitBlockJob *vit_block_commit_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                                const VitBlockCommit *commit, GError **error);

/* Makes an image as vit_co_create() does.  What create points to is copied, but made (a reference)
 * and options (taken, also on failure).  A job that fails removes what it has made. */
[[nodiscard]] VitBlockJob *vit_block_create_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                                const VitBlockCreate *create, GError **error);

/* Whether two images read the same; the shorter one as if it went on with zeroes. */
typedef enum {
    VIT_COMPARE_EQUAL,
    VIT_COMPARE_CONTENT,    /* offset: of the first sector that differs */
    VIT_COMPARE_ALLOCATION, /* strict: they say other things of how offset is stored */
    VIT_COMPARE_SIZE        /* strict */
} VitCompareResult;
typedef struct {
    VitCompareResult result;
    uint64_t offset;
    int error; /* negative errno of a job that has failed at offset, of images[side] */
    unsigned side;
    bool no_status; /* it could not be told what is stored there; else it could not be read */
} VitBlockCompared;
/* found: the caller's, valid at the end, also of a job that has failed (but not cancelled). */
[[nodiscard]] VitBlockJob *vit_block_compare_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                                 VitBlockNode *const images[2], bool strict,
                                                 VitBlockCompared *found, GError **error);

/* Gives an image another backing file.  Unless unsafe, what would read differently is copied into
 * the image first; only when all of that is on stable storage does the image name the new one.
 * Until it is opened anew it stands on the old one. */
typedef struct {
    VitBlockNode *node;
    VitBlockNode *backing;      /* the new one, open; NULL: none, or unsafe */
    const char *file, *format;  /* as to be stored; NULL: none */
    bool unsafe;
    bool compress;              /* what is copied */
} VitBlockRebase;
[[nodiscard]] VitBlockJob *vit_block_rebase_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                                const VitBlockRebase *rebase, GError **error);

/* ---- tasks.c: what a driver does in one call, with progress; results are valid at its end ---- */

/* fix: VIT_FIX_... bits.  found: the caller's, with message set if it wants the texts; the job
 * fails only when the check could not be made (G_IO_ERROR_NOT_SUPPORTED: not by this format). */
[[nodiscard]] VitBlockJob *vit_block_check_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                               VitBlockNode *node, unsigned fix,
                                               VitBlockCheck *found, GError **error);
[[nodiscard]] VitBlockJob *vit_block_resize_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                                VitBlockNode *node, uint64_t size,
                                                VitPrealloc prealloc, GError **error);
/* options: taken, also on failure. */
[[nodiscard]] VitBlockJob *vit_block_amend_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                               VitBlockNode *node, VitBlockArgs *options,
                                               bool force, GError **error);
/* Gives back the space of what is stored but reads as zeroes; the node is open for writing (with
 * discard=unmap if its file is to shrink on the host), and nobody else writes to it meanwhile. */
[[nodiscard]] VitBlockJob *vit_block_compact_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                                 VitBlockNode *node, GError **error);
