/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/iscsi.c - logical units of iSCSI targets, without the kernel's help (libiscsi,
 * asynchronous)
 *
 * SBC-3 commands: READ(16), WRITE(16), SYNCHRONIZE CACHE, UNMAP, WRITE SAME(16), GET LBA STATUS;
 * what a unit can do is read from its Block Limits and Logical Block Provisioning pages. */
#include "block/call.h"
#include "block/module.h"
#include "block/node-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <string.h>

enum { PIECE = 1 << 20, RETRIES = 8, KEEPALIVE_TICKS = 5, MAX_UNANSWERED = 3 };

typedef struct {
    VitBlockNode parent;
    struct iscsi_context *iscsi; /* owned */
    VitPollLink link;
    int lun;
    uint32_t block; /* bytes */
    uint64_t blocks;
    uint32_t max_unmap; /* blocks, 0: cannot */
    bool provisioned, can_write_same, write_protected, logged_in;
    unsigned ticks;
} Iscsi;

typedef struct {
    VitAnswer answer;
    struct scsi_task *task; /* owned by who waits */
} Command;

static int get_fd(void *opaque)
{
    return iscsi_get_fd(((Iscsi *)opaque)->iscsi);
}

static int get_events(void *opaque)
{
    return iscsi_which_events(((Iscsi *)opaque)->iscsi);
}

static void service(void *opaque, int revents)
{
    Iscsi *i = opaque;

    if (revents == 0 && i->logged_in && ++i->ticks % KEEPALIVE_TICKS == 0) {
        if (iscsi_get_nops_in_flight(i->iscsi) > MAX_UNANSWERED) iscsi_reconnect(i->iscsi);
        else (void)iscsi_nop_out_async(i->iscsi, NULL, NULL, 0, NULL);
    }
    /* A session that is lost is taken up again by the library, which repeats what was under way. */
    (void)iscsi_service(i->iscsi, revents);
    vit_poll_link_refresh(&i->link);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void replied(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    Command *c = opaque;

    if (data) c->task = data;
    /* Fibers run after the library has returned: it is not to be entered again from here. */
    vit_answer_give_from(&c->answer, status);
}

/* The same for what is no SCSI command: logging in and out. */
static void session_replied(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    vit_answer_give_from(&((Command *)opaque)->answer, status);
}

static void begin(Iscsi *i, Command *c)
{
    *c = (Command){ 0 };
    vit_answer_begin(&c->answer, i->parent.thread);
}

/* The status of the command whose task was just handed to the library; task NULL: it would not. */
static int wait_reply(Iscsi *i, Command *c, struct scsi_task *task)
{
    if (!task) return SCSI_STATUS_ERROR;
    c->task = task;
    vit_poll_link_refresh(&i->link);
    return (int)vit_co_answer_wait(&c->answer);
}

static void finish(Command *c)
{
    if (c->task) scsi_free_scsi_task(c->task);
    c->task = NULL;
}

static int code_of(Iscsi *i, const Command *c, int status)
{
    if (status == SCSI_STATUS_GOOD) return 0;
    if (status == SCSI_STATUS_TIMEOUT) return -ETIMEDOUT;
    if (status == SCSI_STATUS_CHECK_CONDITION && c->task) {
        switch (c->task->sense.key) {
        case SCSI_SENSE_NOT_READY: return -EBUSY;
        case SCSI_SENSE_DATA_PROTECTION:
            return c->task->sense.ascq == SCSI_SENSE_ASCQ_WRITE_PROTECTED ? -EACCES : -ENOSPC;
        case SCSI_SENSE_ILLEGAL_REQUEST:
            return c->task->sense.ascq == SCSI_SENSE_ASCQ_INVALID_OPERATION_CODE ||
                           c->task->sense.ascq == SCSI_SENSE_ASCQ_INVALID_FIELD_IN_CDB
                       ? -ENOTSUP
                       : -EINVAL;
        default: return -EIO;
        }
    }
    return -EIO;
}

/* Whether the same command may go well a little later; waits that long. */
static bool again(Iscsi *i, const Command *c, int status, unsigned tried)
{
    bool busy = status == SCSI_STATUS_BUSY || status == SCSI_STATUS_TASK_SET_FULL ||
                (status == SCSI_STATUS_CHECK_CONDITION && c->task &&
                 c->task->sense.key == SCSI_SENSE_UNIT_ATTENTION);

    if (!busy || tried >= RETRIES) return false;
    vit_fiber_sleep(i->parent.thread, UINT64_C(10000000) << tried);
    return true;
}

static int move_piece(Iscsi *i, bool write, uint64_t offset, uint32_t bytes, uint8_t *buf, bool fua)
{
    uint64_t lba = offset / i->block;
    struct scsi_iovec iov = { buf, bytes };

    for (unsigned tried = 0;; tried++) {
        Command c;
        begin(i, &c);
        struct scsi_task *task = write ? iscsi_write16_iov_task(i->iscsi, i->lun, lba, NULL, bytes,
                                                                (int)i->block, 0, 0, fua, 0, 0,
                                                                replied, &c, &iov, 1)
                                       : iscsi_read16_iov_task(i->iscsi, i->lun, lba, bytes,
                                                               (int)i->block, 0, 0, 0, 0, 0,
                                                               replied, &c, &iov, 1);
        int status = wait_reply(i, &c, task), code = code_of(i, &c, status);
        bool repeat = again(i, &c, status, tried);
        finish(&c);
        if (!repeat) return code;
    }
}

static int move(Iscsi *i, bool write, uint64_t offset, uint64_t bytes, uint8_t *buf, bool fua)
{
    for (uint64_t done = 0; done < bytes; done += PIECE) {
        uint32_t n = (uint32_t)MIN(bytes - done, PIECE);
        int code = move_piece(i, write, offset + done, n, buf + done, fua);
        if (code < 0) return code;
    }
    return 0;
}

static int iscsi_read_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                            const struct iovec *iov, int niov)
{
    uint64_t there = offset < node->size ? MIN(bytes, node->size - offset) : 0;
    g_autofree uint8_t *own = niov == 1 ? NULL : g_try_malloc(there + 1);
    uint8_t *buf = own ?: iov->iov_base;

    if (!buf) return -ENOMEM;
    int code = move((Iscsi *)node, false, offset, there, buf, false);
    if (code < 0) return code;
    if (own) vit_iov_from(iov, niov, 0, own, there);
    if (there < bytes) vit_iov_zero(iov, niov, there, bytes - there);
    return 0;
}

static int iscsi_write_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                             const struct iovec *iov, int niov, uint32_t flags)
{
    g_autofree uint8_t *own = niov == 1 ? NULL : g_try_malloc(bytes);
    uint8_t *buf = own ?: iov->iov_base;

    if (offset > node->size || bytes > node->size - offset) return -ENOSPC; /* units do not grow */
    if (!buf) return -ENOMEM;
    if (own) vit_iov_to(iov, niov, 0, own, bytes);
    return move((Iscsi *)node, true, offset, bytes, buf, flags & VIT_BLOCK_FUA);
}

static int iscsi_flush(VitBlockNode *node)
{
    Iscsi *i = (Iscsi *)node;

    for (unsigned tried = 0;; tried++) {
        Command c;
        begin(i, &c);
        int status = wait_reply(
            i, &c, iscsi_synchronizecache16_task(i->iscsi, i->lun, 0, 0, 0, 0, replied, &c));
        int code = code_of(i, &c, status);
        bool repeat = again(i, &c, status, tried);
        finish(&c);
        if (!repeat) return code;
    }
}

static int iscsi_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    Iscsi *i = (Iscsi *)node;

    if (i->max_unmap == 0 || offset >= node->size) return 0; /* a hint */
    bytes = MIN(bytes, node->size - offset);
    for (uint64_t lba = offset / i->block, left = bytes / i->block; left > 0;) {
        struct unmap_list list = { lba, (uint32_t)MIN(left, i->max_unmap) };
        Command c;
        begin(i, &c);
        int code = code_of(
            i, &c,
            wait_reply(i, &c, iscsi_unmap_task(i->iscsi, i->lun, 0, 0, &list, 1, replied, &c)));
        finish(&c);
        if (code < 0) return code == -ENOTSUP || code == -EINVAL ? 0 : code;
        lba += list.num;
        left -= list.num;
    }
    return 0;
}

static int iscsi_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    enum { MAX_SAME = 32 << 20 };
    Iscsi *i = (Iscsi *)node;
    g_autofree uint8_t *zeroes = g_malloc0(i->block);

    if (!i->can_write_same) return -ENOTSUP;
    if (offset > node->size || bytes > node->size - offset) return -ENOSPC;
    for (uint64_t lba = offset / i->block, left = bytes / i->block; left > 0;) {
        uint32_t n = (uint32_t)MIN(left, MAX_SAME / i->block);
        Command c;
        begin(i, &c);
        struct scsi_task *task = iscsi_writesame16_task(
            i->iscsi, i->lun, lba, zeroes, i->block, n, 0,
            (flags & VIT_BLOCK_MAY_UNMAP) && i->provisioned, 0, 0, replied, &c);
        int code = code_of(i, &c, wait_reply(i, &c, task));
        finish(&c);
        if (code == -ENOTSUP || code == -EINVAL) {
            i->can_write_same = false;
            return -ENOTSUP;
        }
        if (code < 0) return code;
        lba += n;
        left -= n;
    }
    return flags & VIT_BLOCK_FUA ? iscsi_flush(node) : 0;
}

static int iscsi_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    Iscsi *i = (Iscsi *)node;
    uint64_t lba = offset / i->block;

    *extent = (VitBlockExtent){ .bytes = bytes,
                                .flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET,
                                .host_offset = offset,
                                .file = node };
    if (!i->provisioned) return 0;
    Command c;
    begin(i, &c);
    int status = wait_reply(i, &c,
                            iscsi_get_lba_status_task(i->iscsi, i->lun, lba, 8 + 16, replied, &c));
    struct scsi_get_lba_status *map = status == SCSI_STATUS_GOOD ? scsi_datain_unmarshall(c.task)
                                                                 : NULL;
    if (map && map->num_descriptors > 0 && map->descriptors[0].lba <= lba &&
        map->descriptors[0].lba + map->descriptors[0].num_blocks > lba) {
        uint64_t end = (map->descriptors[0].lba + map->descriptors[0].num_blocks) * i->block;
        extent->bytes = MIN(bytes, end - offset);
        /* `provisioned`: what is deallocated reads as zeroes (LBPRZ). */
        if (map->descriptors[0].provisioning == SCSI_PROVISIONING_TYPE_DEALLOCATED)
            extent->flags = VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED;
    }
    finish(&c);
    return 0;
}

/* ---- what the unit is ------------------------------------------------------------------------ */

static bool unit_fail(Iscsi *i, const char *what, GError **error)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_IO, _("iSCSI: %s: %s"), what,
                          iscsi_get_error(i->iscsi));
}

static bool read_capacity(Iscsi *i, GError **error)
{
    bool zeroes = false, provisioned = false, good = false;

    for (unsigned tried = 0;; tried++) {
        Command c;
        begin(i, &c);
        int status = wait_reply(i, &c, iscsi_readcapacity16_task(i->iscsi, i->lun, replied, &c));
        struct scsi_readcapacity16 *rc = status == SCSI_STATUS_GOOD ? scsi_datain_unmarshall(c.task)
                                                                    : NULL;
        if (rc) {
            i->block = rc->block_length;
            i->blocks = rc->returned_lba + 1;
            provisioned = rc->lbpme;
            zeroes = rc->lbprz;
            good = true;
        }
        bool repeat = !rc && again(i, &c, status, tried);
        finish(&c);
        if (!repeat) break;
    }
    if (!good) return unit_fail(i, "failed to read the unit's capacity", error);
    if (i->block < 512 || i->block > (64 << 10) || (i->block & (i->block - 1)) ||
        i->blocks > INT64_MAX / i->block)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("iSCSI: the unit has blocks of %u bytes"), i->block);
    i->parent.size = i->blocks * i->block;
    i->parent.alignment = i->block;
    i->provisioned = provisioned && zeroes;
    i->max_unmap = provisioned ? UINT32_MAX : 0;
    return true;
}

static struct scsi_task *inquire(Iscsi *i, Command *c, int page)
{
    begin(i, c);
    int status = wait_reply(i, c, iscsi_inquiry_task(i->iscsi, i->lun, 1, page, 255, replied, c));
    return status == SCSI_STATUS_GOOD ? c->task : NULL;
}

static void read_limits(Iscsi *i)
{
    Command c;

    i->can_write_same = true; /* until it says no */
    if (inquire(i, &c, SCSI_INQUIRY_PAGECODE_BLOCK_LIMITS)) {
        struct scsi_inquiry_block_limits *limits = scsi_datain_unmarshall(c.task);
        if (limits && i->max_unmap) i->max_unmap = limits->max_unmap;
    }
    finish(&c);
    if (inquire(i, &c, SCSI_INQUIRY_PAGECODE_LOGICAL_BLOCK_PROVISIONING)) {
        struct scsi_inquiry_logical_block_provisioning *p = scsi_datain_unmarshall(c.task);
        if (p && !p->lbpu) i->max_unmap = 0;
    }
    finish(&c);
}

static void read_protection(Iscsi *i)
{
    Command c;

    begin(i, &c);
    int status = wait_reply(i, &c,
                            iscsi_modesense6_task(i->iscsi, i->lun, 1, SCSI_MODESENSE_PC_CURRENT,
                                                  SCSI_MODEPAGE_RETURN_ALL_PAGES, 0, 255, replied,
                                                  &c));
    struct scsi_mode_sense *sense = status == SCSI_STATUS_GOOD ? scsi_datain_unmarshall(c.task)
                                                               : NULL;
    i->write_protected = sense && (sense->device_specific_parameter & 0x80);
    finish(&c);
}

/* ---- names and options ----------------------------------------------------------------------- */

static bool parse(const char *filename, JsonObject *options, GError **error)
{
    struct iscsi_context *context = iscsi_create_context("iqn.2008-11.org.linux-kvm");
    struct iscsi_url *url = context ? iscsi_parse_full_url(context, filename) : NULL;

    if (!url) {
        if (context) iscsi_destroy_context(context);
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Failed to parse URL : %s"),
                              filename);
    }
    g_autofree char *lun = g_strdup_printf("%d", url->lun);
    json_object_set_string_member(options, "transport", "tcp");
    json_object_set_string_member(options, "portal", url->portal);
    json_object_set_string_member(options, "target", url->target);
    json_object_set_string_member(options, "lun", lun);
    if (url->user[0]) {
        json_object_set_string_member(options, "user", url->user);
        json_object_set_string_member(options, "password", url->passwd);
    }
    explicit_bzero(url->passwd, sizeof url->passwd);
    iscsi_destroy_url(url);
    iscsi_destroy_context(context);
    return true;
}

static bool set_chap(Iscsi *i, VitBlockArgs *args, GError **error)
{
    const char *user = vit_block_args_str(args, "user");
    const char *password = vit_block_args_str(args, "password"); /* of the old kind of URL */
    const char *secret = vit_block_args_str(args, "password-secret");
    char *text = NULL;

    if (secret && password)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("'password' and 'password-secret' properties are mutually exclusive"));
    if (!user) return true;
    if (secret && !(text = vit_block_secret_lookup_text(vit_block_graph_objects(i->parent.graph),
                                                        secret, error)))
        return false;
    int code = text || password ? iscsi_set_initiator_username_pwd(i->iscsi, user, text ?: password)
                                : -1;
    vit_block_secret_free_text(text);
    if (!secret && !password)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("CHAP username specified but no password was given"));
    return code == 0 || unit_fail(i, "Failed to set initiator username and password", error);
}

static bool set_up(Iscsi *i, VitBlockArgs *args, const char **portal, GError **error)
{
    static const char *const transports[] = { "tcp", NULL };
    static const char *const digests[] = { "crc32c", "none", "crc32c-none", "none-crc32c", NULL };
    static const enum iscsi_header_digest values[] = { ISCSI_HEADER_DIGEST_CRC32C,
                                                       ISCSI_HEADER_DIGEST_NONE,
                                                       ISCSI_HEADER_DIGEST_CRC32C_NONE,
                                                       ISCSI_HEADER_DIGEST_NONE_CRC32C };
    const char *target = vit_block_args_str(args, "target");
    const char *initiator = vit_block_args_str(args, "initiator-name");
    uint64_t lun = 0, timeout = 0;
    int transport = -1, digest = 3;

    *portal = vit_block_args_str(args, "portal");
    if (!vit_block_args_enum(args, "transport", transports, &transport, error) ||
        !vit_block_args_enum(args, "header-digest", digests, &digest, error) ||
        !vit_block_args_uint(args, "lun", 255, &lun, error) ||
        !vit_block_args_uint(args, "timeout", 3600, &timeout, error))
        return false;
    if (transport < 0 || !*portal || !target)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Need all of transport, portal and target options"));
    i->lun = (int)lun;
    i->iscsi = iscsi_create_context(initiator ?: "iqn.2008-11.org.linux-kvm");
    if (!i->iscsi)
        return vit_block_fail(error, VIT_BLOCK_ERROR_IO,
                              _("iSCSI: Failed to create iSCSI context."));
    if (iscsi_set_targetname(i->iscsi, target) != 0)
        return unit_fail(i, "Failed to set target name.", error);
    iscsi_set_session_type(i->iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(i->iscsi, values[digest]);
    if (timeout) iscsi_set_timeout(i->iscsi, (int)timeout);
    iscsi_set_tcp_user_timeout(i->iscsi, 30000);
    return set_chap(i, args, error);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void iscsi_detach(VitBlockNode *node)
{
    vit_poll_link_stop(&((Iscsi *)node)->link);
}

static void iscsi_attach(VitBlockNode *node)
{
    Iscsi *i = (Iscsi *)node;

    vit_poll_link_start(&i->link, node->thread);
}

static bool log_in(Iscsi *i, const char *portal, GError **error)
{
    Command c;

    begin(i, &c);
    if (iscsi_full_connect_async(i->iscsi, portal, i->lun, session_replied, &c) != 0)
        return unit_fail(i, "Failed to connect to LUN", error);
    iscsi_attach(&i->parent);
    int64_t status = vit_co_answer_wait(&c.answer);
    if (status != SCSI_STATUS_GOOD) return unit_fail(i, "Failed to connect to LUN", error);
    i->logged_in = true;
    return true;
}

static void iscsi_close(VitBlockNode *node)
{
    Iscsi *i = (Iscsi *)node;

    if (i->logged_in) {
        Command c;
        i->logged_in = false;
        begin(i, &c);
        if (iscsi_logout_async(i->iscsi, session_replied, &c) == 0) {
            vit_poll_link_refresh(&i->link);
            vit_co_answer_wait(&c.answer);
        }
    }
    iscsi_detach(node);
    if (i->iscsi) iscsi_destroy_context(i->iscsi);
    i->iscsi = NULL;
}

static bool iscsi_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Iscsi *i = (Iscsi *)node;
    const char *portal = NULL;

    i->link.get_fd = get_fd;
    i->link.events = get_events;
    i->link.service = service;
    i->link.opaque = i;
    bool good = set_up(i, args, &portal, error) && log_in(i, portal, error) &&
                read_capacity(i, error);
    if (good) {
        read_limits(i);
        read_protection(i);
    }
    if (good && i->write_protected && !node->how.read_only) {
        good = node->how.auto_read_only ||
               vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("LUN is write protected; open it with read-only=on"));
        node->how.read_only = true;
    }
    if (!good) {
        iscsi_close(node);
        return false;
    }
    g_free(node->filename);
    node->filename = g_strdup_printf("iscsi://%s/%s/%d", portal, vit_block_args_str(args, "target"),
                                     i->lun);
    return true;
}

/* A unit is there or is not; its size is what it is. */
static bool iscsi_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                           GError **error)
{
    if (prealloc != VIT_PREALLOC_OFF)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Unsupported preallocation mode for iscsi"));
    if (size > node->size || (exact && size != node->size))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Cannot resize iSCSI devices: this one has %" PRIu64 " bytes"),
                              node->size);
    return true;
}

static bool iscsi_create(VitBlockCreate *create, GError **error)
{
    VitBlockOptions how = { 0 };
    VitBlockNode *node = vit_co_open_image(create->graph, create->thread, create->filename, NULL,
                                           NULL, &how, true, error);
    bool good = node && iscsi_truncate(node, create->size, false, VIT_PREALLOC_OFF, error);

    vit_block_node_unref(node);
    return good;
}

static void iscsi_info(VitBlockNode *node, VitBlockInfo *info)
{
    Iscsi *i = (Iscsi *)node;

    info->logical_block = i->block;
    info->request_alignment = i->block;
    info->can_discard = i->max_unmap > 0;
}

static const VitBlockOption iscsi_create_options[] = { { .name = NULL } };

static const VitBlockDriver driver = {
    .name = "iscsi",
    .kind = VIT_BLOCK_PROTOCOL,
    .instance_size = sizeof(Iscsi),
    .alignment = 512,
    .create_options = iscsi_create_options,
    .parse_filename = parse,
    .co_open = iscsi_open,
    .co_close = iscsi_close,
    .co_read = iscsi_read_range,
    .co_write = iscsi_write_range,
    .co_write_zeroes = iscsi_write_zeroes,
    .co_discard = iscsi_discard,
    .co_flush = iscsi_flush,
    .co_status = iscsi_status,
    .co_truncate = iscsi_truncate,
    .info = iscsi_info,
    .detach = iscsi_detach,
    .attach = iscsi_attach,
    .co_create = iscsi_create,
};

VIT_BLOCK_MODULE(&driver);
