/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-options.c - types of the options of nodes, images, exports and objects
 *
 * What a node's and an image's options mean only the driver knows; here are their types.  A driver
 * may take more (old ways of writing, which clients need not know), and refuses what it does not
 * know; hence `open`. */
#include "engine/control/qmp-block-types.h"

#include "block/driver.h"
#include "block/export.h"
#include "block/objects.h"

#include <string.h>

typedef struct {
    const char *value;
    const QmpType type;
} Branch;

static const QmpType *find(const Branch *list, size_t n, const char *value)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].value, value)) return &list[i].type;
    return NULL;
}

/* Branches of a type: the members and whether there may be more. */
#define CASE(VALUE, MEMBERS)                                                                       \
    {                                                                                              \
        VALUE,                                                                                     \
        {                                                                                          \
            QMP_OBJECT, .members = (MEMBERS)                                                       \
        }                                                                                          \
    }
#define OPEN_CASE(VALUE, MEMBERS)                                                                  \
    {                                                                                              \
        VALUE,                                                                                     \
        {                                                                                          \
            QMP_OBJECT, .members = (MEMBERS), .open = true                                         \
        }                                                                                          \
    }

static const char *const ons[] = { "auto", "on", "off", NULL };

/* ---- Addresses ------------------------------------------------------------------------------- */

static const char *const address_types[] = { "inet", "unix", "fd", NULL };
static const QmpArg inet_members[] = { { "host", QMP_STR },
                                       { "port", QMP_STR },
                                       { "ipv4", QMP_BOOL, true },
                                       { "ipv6", QMP_BOOL, true },
                                       { 0 } };
static const QmpArg unix_members[] = { { "path", QMP_STR }, { 0 } };
static const QmpArg fd_members[] = { { "str", QMP_STR }, { 0 } };
static const Branch addresses[] = { CASE("inet", inet_members), CASE("unix", unix_members),
                                    CASE("fd", fd_members) };

static const QmpType *address_of(const char *value)
{
    return find(addresses, G_N_ELEMENTS(addresses), value);
}

static const QmpArg address_members[] = { { "type", QMP_STR, false, address_types }, { 0 } };
static const QmpType address_type = { QMP_OBJECT, .members = address_members, .tag = "type",
                                      .branch = address_of };
static const QmpType inet_type = { QMP_OBJECT, .members = inet_members };

static const QmpArg inet_data[] = { { "data", QMP_OBJECT, .type = &addresses[0].type }, { 0 } };
static const QmpArg unix_data[] = { { "data", QMP_OBJECT, .type = &addresses[1].type }, { 0 } };
static const QmpArg fd_data[] = { { "data", QMP_OBJECT, .type = &addresses[2].type }, { 0 } };
static const Branch wrapped[] = { CASE("inet", inet_data), CASE("unix", unix_data),
                                  CASE("fd", fd_data) };

static const QmpType *wrapped_of(const char *value)
{
    return find(wrapped, G_N_ELEMENTS(wrapped), value);
}

const QmpType qmp_wrapped_address_type = { QMP_OBJECT, .members = address_members, .tag = "type",
                                           .branch = wrapped_of };

/* ---- Nodes ----------------------------------------------------------------------------------- */

static const QmpType *const node_or_name[] = { &qmp_block_node_type, &qmp_str_type, NULL };
static const QmpType *const node_or_none[] = { &qmp_block_node_type, &qmp_str_type, &qmp_null_type,
                                               NULL };
static const QmpType child_type = { QMP_ALTERNATE, "BlockdevRef", .choices = node_or_name };
static const QmpType backing_type = { QMP_ALTERNATE, "BlockdevRefOrNull", .choices = node_or_none };

#define FILE_MEMBER    { "file", QMP_ALTERNATE, .type = &child_type }
#define BACKING_MEMBER { "backing", QMP_ALTERNATE, true, .type = &backing_type }
static const QmpArg format_members[] = { FILE_MEMBER, { 0 } };
static const QmpArg cow_members[] = { FILE_MEMBER, BACKING_MEMBER, { 0 } };

static const char *const aios[] = { "threads", "native", "io_uring", NULL };
static const QmpArg file_members[] = { { "filename", QMP_STR },
                                       { "locking", QMP_STR, true, ons },
                                       { "aio", QMP_STR, true, aios },
                                       { 0 } };
static const QmpArg raw_members[] = {
    FILE_MEMBER, { "offset", QMP_INT, true }, { "size", QMP_INT, true }, { 0 }
};
static const QmpArg luks_members[] = { FILE_MEMBER,
                                       { "key-secret", QMP_STR, true },
                                       { "header", QMP_ALTERNATE, true, .type = &child_type },
                                       { 0 } };

static const char *const overlap_names[] = { "none", "constant", "cached", "all", NULL };
static const QmpArg overlap_members[] = { { "template", QMP_STR, true, overlap_names },
                                          { "main-header", QMP_BOOL, true },
                                          { "active-l1", QMP_BOOL, true },
                                          { "active-l2", QMP_BOOL, true },
                                          { "refcount-table", QMP_BOOL, true },
                                          { "refcount-block", QMP_BOOL, true },
                                          { "snapshot-table", QMP_BOOL, true },
                                          { "inactive-l1", QMP_BOOL, true },
                                          { "inactive-l2", QMP_BOOL, true },
                                          { "bitmap-directory", QMP_BOOL, true },
                                          { 0 } };
static const QmpType overlap_group = { QMP_OBJECT, .members = overlap_members };
static const QmpType overlap_name = { QMP_STR, .values = overlap_names };
static const QmpType *const overlap_choices[] = { &overlap_group, &overlap_name, NULL };
static const QmpType overlap_type = { QMP_ALTERNATE, "Qcow2OverlapChecks",
                                      .choices = overlap_choices };
static const char *const encryptions[] = { "aes", "luks", NULL };
static const QmpArg encrypt_members[] = { { "format", QMP_STR, false, encryptions }, { 0 } };
static const QmpArg key_members[] = { { "key-secret", QMP_STR, true }, { 0 } };
static const QmpType key_type = { QMP_OBJECT, .members = key_members };

static const QmpType *encrypt_of(const char *value)
{
    return &key_type;
}

static const QmpType encrypt_type = { QMP_OBJECT, .members = encrypt_members, .tag = "format",
                                      .branch = encrypt_of };
static const QmpArg qcow2_members[] = { FILE_MEMBER,
                                        BACKING_MEMBER,
                                        { "lazy-refcounts", QMP_BOOL, true },
                                        { "pass-discard-request", QMP_BOOL, true },
                                        { "pass-discard-snapshot", QMP_BOOL, true },
                                        { "pass-discard-other", QMP_BOOL, true },
                                        { "discard-no-unref", QMP_BOOL, true },
                                        { "overlap-check", QMP_ALTERNATE, true,
                                          .type = &overlap_type },
                                        { "cache-size", QMP_INT, true },
                                        { "l2-cache-size", QMP_INT, true },
                                        { "l2-cache-entry-size", QMP_INT, true },
                                        { "refcount-cache-size", QMP_INT, true },
                                        { "cache-clean-interval", QMP_INT, true },
                                        { "encrypt", QMP_OBJECT, true, .type = &encrypt_type },
                                        { "data-file", QMP_ALTERNATE, true, .type = &child_type },
                                        { 0 } };

#define CURL_MEMBERS                                                                               \
    { "url", QMP_STR }, { "readahead", QMP_INT, true }, { "timeout", QMP_INT, true },              \
        { "username", QMP_STR, true }, { "password-secret", QMP_STR, true },                       \
        { "proxy-username", QMP_STR, true },                                                       \
    {                                                                                              \
        "proxy-password-secret", QMP_STR, true                                                     \
    }
#define COOKIE_MEMBERS                                                                             \
    { "cookie", QMP_STR, true },                                                                   \
    {                                                                                              \
        "cookie-secret", QMP_STR, true                                                             \
    }
static const QmpArg ftp_members[] = { CURL_MEMBERS, { 0 } };
static const QmpArg ftps_members[] = { CURL_MEMBERS, { "sslverify", QMP_BOOL, true }, { 0 } };
static const QmpArg http_members[] = { CURL_MEMBERS, COOKIE_MEMBERS, { 0 } };
static const QmpArg https_members[] = {
    CURL_MEMBERS, COOKIE_MEMBERS, { "sslverify", QMP_BOOL, true }, { 0 }
};

static const char *const transports[] = { "tcp", "iser", NULL };
static const char *const digests[] = { "crc32c", "none", "crc32c-none", "none-crc32c", NULL };
static const QmpArg iscsi_members[] = { { "transport", QMP_STR, false, transports },
                                        { "portal", QMP_STR },
                                        { "target", QMP_STR },
                                        { "lun", QMP_INT, true },
                                        { "user", QMP_STR, true },
                                        { "password-secret", QMP_STR, true },
                                        { "initiator-name", QMP_STR, true },
                                        { "header-digest", QMP_STR, true, digests },
                                        { "timeout", QMP_INT, true },
                                        { 0 } };
static const QmpArg nbd_members[] = { { "server", QMP_OBJECT, .type = &address_type },
                                      { "export", QMP_STR, true },
                                      { "tls-creds", QMP_STR, true },
                                      { "tls-hostname", QMP_STR, true },
                                      { "x-dirty-bitmap", QMP_STR, true },
                                      { "reconnect-delay", QMP_INT, true },
                                      { "open-timeout", QMP_INT, true },
                                      { 0 } };
static const char *const nfs_types[] = { "inet", NULL };
static const QmpArg nfs_server_members[] = { { "type", QMP_STR, false, nfs_types },
                                             { "host", QMP_STR },
                                             { 0 } };
static const QmpType nfs_server_type = { QMP_OBJECT, .members = nfs_server_members };
static const QmpArg nfs_members[] = { { "server", QMP_OBJECT, .type = &nfs_server_type },
                                      { "path", QMP_STR },
                                      { "user", QMP_INT, true },
                                      { "group", QMP_INT, true },
                                      { "tcp-syn-count", QMP_INT, true },
                                      { "readahead-size", QMP_INT, true },
                                      { "page-cache-size", QMP_INT, true },
                                      { "debug", QMP_INT, true },
                                      { 0 } };
static const QmpArg rbd_server_members[] = { { "host", QMP_STR }, { "port", QMP_STR }, { 0 } };
static const QmpType rbd_server_type = { QMP_OBJECT, .members = rbd_server_members };
static const QmpArg rbd_members[] = { { "pool", QMP_STR },
                                      { "namespace", QMP_STR, true },
                                      { "image", QMP_STR },
                                      { "conf", QMP_STR, true },
                                      { "snapshot", QMP_STR, true },
                                      { "user", QMP_STR, true },
                                      { "key-secret", QMP_STR, true },
                                      { "server", QMP_ARRAY, true, .type = &rbd_server_type },
                                      { 0 } };
static const char *const host_key_modes[] = { "none", "hash", "known_hosts", NULL };
static const char *const host_key_types[] = { "md5", "sha1", "sha256", NULL };
static const QmpArg host_key_members[] = { { "mode", QMP_STR, false, host_key_modes }, { 0 } };
static const QmpArg hash_members[] = { { "type", QMP_STR, false, host_key_types },
                                       { "hash", QMP_STR },
                                       { 0 } };
static const QmpType hash_type = { QMP_OBJECT, .members = hash_members };

static const QmpType *host_key_of(const char *value)
{
    return strcmp(value, "hash") ? NULL : &hash_type;
}

static const QmpType host_key_type = { QMP_OBJECT, .members = host_key_members, .tag = "mode",
                                       .branch = host_key_of };
static const QmpArg ssh_members[] = { { "server", QMP_OBJECT, .type = &inet_type },
                                      { "path", QMP_STR },
                                      { "user", QMP_STR, true },
                                      { "host-key-check", QMP_OBJECT, true,
                                        .type = &host_key_type },
                                      { 0 } };

static const QmpArg null_members[] = { { "size", QMP_INT, true },
                                       { "latency-ns", QMP_INT, true },
                                       { "read-zeroes", QMP_BOOL, true },
                                       { 0 } };
static const QmpArg cor_members[] = { FILE_MEMBER, { "bottom", QMP_STR, true }, { 0 } };
static const QmpArg throttle_members[] = { { "throttle-group", QMP_STR }, FILE_MEMBER, { 0 } };
static const QmpArg blkverify_members[] = { { "test", QMP_ALTERNATE, .type = &child_type },
                                            { "raw", QMP_ALTERNATE, .type = &child_type },
                                            { 0 } };
static const char *const io_types[] = { "read",         "write", "write-zeroes", "discard", "flush",
                                        "block-status", NULL };
static const QmpArg inject_members[] = { { "event", QMP_STR },
                                         { "state", QMP_INT, true },
                                         { "iotype", QMP_STR, true, io_types },
                                         { "errno", QMP_INT, true },
                                         { "sector", QMP_INT, true },
                                         { "once", QMP_BOOL, true },
                                         { "immediately", QMP_BOOL, true },
                                         { 0 } };
static const QmpType inject_type = { QMP_OBJECT, .members = inject_members, .open = true };
static const QmpArg set_state_members[] = {
    { "event", QMP_STR }, { "state", QMP_INT, true }, { "new_state", QMP_INT }, { 0 }
};
static const QmpType set_state_type = { QMP_OBJECT, .members = set_state_members };
static const QmpArg blkdebug_members[] = {
    { "image", QMP_ALTERNATE, .type = &child_type },
    { "config", QMP_STR, true },
    { "align", QMP_INT, true },
    { "max-transfer", QMP_INT, true },
    { "opt-write-zero", QMP_INT, true },
    { "max-write-zero", QMP_INT, true },
    { "opt-discard", QMP_INT, true },
    { "max-discard", QMP_INT, true },
    { "inject-error", QMP_ARRAY, true, .type = &inject_type },
    { "set-state", QMP_ARRAY, true, .type = &set_state_type },
    { 0 }
};

static const Branch node_branches[] = {
    OPEN_CASE("blkdebug", blkdebug_members), OPEN_CASE("blkverify", blkverify_members),
    OPEN_CASE("bochs", format_members),      OPEN_CASE("cloop", format_members),
    OPEN_CASE("compress", format_members),   OPEN_CASE("copy-on-read", cor_members),
    OPEN_CASE("dmg", format_members),        OPEN_CASE("file", file_members),
    OPEN_CASE("ftp", ftp_members),           OPEN_CASE("ftps", ftps_members),
    OPEN_CASE("host_device", file_members),  OPEN_CASE("http", http_members),
    OPEN_CASE("https", https_members),       OPEN_CASE("iscsi", iscsi_members),
    OPEN_CASE("luks", luks_members),         OPEN_CASE("nbd", nbd_members),
    OPEN_CASE("nfs", nfs_members),           OPEN_CASE("null-aio", null_members),
    OPEN_CASE("null-co", null_members),      OPEN_CASE("parallels", format_members),
    OPEN_CASE("qcow2", qcow2_members),       OPEN_CASE("qed", cow_members),
    OPEN_CASE("raw", raw_members),           OPEN_CASE("rbd", rbd_members),
    OPEN_CASE("ssh", ssh_members),           OPEN_CASE("throttle", throttle_members),
    OPEN_CASE("vdi", format_members),        OPEN_CASE("vhdx", format_members),
    OPEN_CASE("vmdk", cow_members),          OPEN_CASE("vpc", format_members),
};

static const QmpType *node_of(const char *value)
{
    return find(node_branches, G_N_ELEMENTS(node_branches), value);
}

static char **drivers(void)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();

    for (const VitBlockDriver *const *d = vit_block_drivers(); *d; d++)
        g_strv_builder_add(names, (*d)->name);
    return g_strv_builder_end(names);
}

static const QmpType driver_type = { QMP_STR, .list = drivers };
static const char *const discards[] = { "ignore", "unmap", NULL };
static const char *const detects[] = { "off", "on", "unmap", NULL };
static const QmpArg cache_members[] = { { "direct", QMP_BOOL, true },
                                        { "no-flush", QMP_BOOL, true },
                                        { 0 } };
static const QmpType cache_type = { QMP_OBJECT, .members = cache_members };
static const QmpArg node_members[] = { { "driver", QMP_STR, .type = &driver_type },
                                       { "node-name", QMP_STR, true },
                                       { "discard", QMP_STR, true, discards },
                                       { "cache", QMP_OBJECT, true, .type = &cache_type },
                                       { "read-only", QMP_BOOL, true },
                                       { "auto-read-only", QMP_BOOL, true },
                                       { "force-share", QMP_BOOL, true },
                                       { "detect-zeroes", QMP_STR, true, detects },
                                       { 0 } };
const QmpType qmp_block_node_type = { QMP_OBJECT, .members = node_members, .tag = "driver",
                                      .branch = node_of };

/* ---- Images ---------------------------------------------------------------------------------- */

static const QmpArg create_file_members[] = { { "filename", QMP_STR }, { "size", QMP_INT }, { 0 } };
static const QmpArg create_format_members[] = { { "file", QMP_STR }, { "size", QMP_INT }, { 0 } };
static const QmpArg create_cow_members[] = { { "file", QMP_STR },
                                             { "size", QMP_INT },
                                             { "backing-file", QMP_STR, true },
                                             { "backing-fmt", QMP_STR, true },
                                             { 0 } };
static const QmpType create_file = { QMP_OBJECT, .members = create_file_members, .open = true };
static const QmpType create_format = { QMP_OBJECT, .members = create_format_members, .open = true };
static const QmpType create_cow = { QMP_OBJECT, .members = create_cow_members, .open = true };
static const QmpType create_other = { QMP_OBJECT, .members = qmp_no_members, .open = true };

static const QmpType *create_of(const char *value)
{
    const VitBlockDriver *driver = vit_block_driver_find(value);

    if (driver && driver->kind == VIT_BLOCK_FORMAT && driver->co_create)
        return driver->supports_backing ? &create_cow : &create_format;
    return strcmp(value, "file") ? &create_other : &create_file;
}

static const QmpArg create_members[] = { { "driver", QMP_STR, .type = &driver_type }, { 0 } };
const QmpType qmp_block_create_type = { QMP_OBJECT, .members = create_members, .tag = "driver",
                                        .branch = create_of };

/* ---- Exports --------------------------------------------------------------------------------- */

const QmpArg qmp_bitmap_members[] = { { "node", QMP_STR }, { "name", QMP_STR }, { 0 } };
static const QmpType bitmap_type = { QMP_OBJECT, .members = qmp_bitmap_members };
static const QmpType *const bitmap_or_name[] = { &qmp_str_type, &bitmap_type, NULL };
const QmpType qmp_bitmap_or_name_type = { QMP_ALTERNATE, "BlockDirtyBitmapOrStr",
                                          .choices = bitmap_or_name };

static const QmpArg nbd_export_members[] = { { "name", QMP_STR, true },
                                             { "description", QMP_STR, true },
                                             { "bitmaps", QMP_ARRAY, true,
                                               .type = &qmp_bitmap_or_name_type },
                                             { "allocation-depth", QMP_BOOL, true },
                                             { 0 } };
static const QmpArg vhost_user_members[] = { { "addr", QMP_OBJECT, .type = &address_type },
                                             { "logical-block-size", QMP_INT, true },
                                             { "num-queues", QMP_INT, true },
                                             { 0 } };
static const QmpArg fuse_members[] = { { "mountpoint", QMP_STR },
                                       { "growable", QMP_BOOL, true },
                                       { "allow-other", QMP_STR, true, ons },
                                       { 0 } };
static const Branch export_branches[] = { CASE("fuse", fuse_members),
                                          CASE("nbd", nbd_export_members),
                                          CASE("vhost-user-blk", vhost_user_members) };

static const QmpType *export_of(const char *value)
{
    return find(export_branches, G_N_ELEMENTS(export_branches), value);
}

static const QmpType export_type = { QMP_STR, .list = vit_block_export_types };
static const QmpArg export_members[] = { { "type", QMP_STR, .type = &export_type },
                                         { "id", QMP_STR },
                                         { "fixed-iothread", QMP_BOOL, true },
                                         { "iothread", QMP_STR, true },
                                         { "node-name", QMP_STR },
                                         { "writable", QMP_BOOL, true },
                                         { "writethrough", QMP_BOOL, true },
                                         { 0 } };
const QmpType qmp_block_export_type = { QMP_OBJECT, .members = export_members, .tag = "type",
                                        .branch = export_of };

/* ---- Objects --------------------------------------------------------------------------------- */

static const QmpArg iothread_members[] = { { "aio-max-batch", QMP_INT, true },
                                           { "thread-pool-min", QMP_INT, true },
                                           { "thread-pool-max", QMP_INT, true },
                                           { "poll-max-ns", QMP_INT, true },
                                           { "poll-grow", QMP_INT, true },
                                           { "poll-shrink", QMP_INT, true },
                                           { 0 } };
static const char *const secret_formats[] = { "raw", "base64", NULL };
#define SECRET_MEMBERS                                                                             \
    { "format", QMP_STR, true, secret_formats }, { "keyid", QMP_STR, true },                       \
    {                                                                                              \
        "iv", QMP_STR, true                                                                        \
    }
static const QmpArg secret_members[] = {
    SECRET_MEMBERS, { "data", QMP_STR, true }, { "file", QMP_STR, true }, { 0 }
};
static const QmpArg keyring_members[] = { SECRET_MEMBERS, { "serial", QMP_INT }, { 0 } };
static const char *const endpoints[] = { "client", "server", NULL };
#define TLS_MEMBERS                                                                                \
    { "verify-peer", QMP_BOOL, true }, { "dir", QMP_STR, true },                                   \
        { "endpoint", QMP_STR, true, endpoints },                                                  \
    {                                                                                              \
        "priority", QMP_STR, true                                                                  \
    }
static const QmpArg anon_members[] = { TLS_MEMBERS, { 0 } };
static const QmpArg psk_members[] = { TLS_MEMBERS, { "username", QMP_STR, true }, { 0 } };
static const QmpArg x509_members[] = {
    TLS_MEMBERS, { "sanity-check", QMP_BOOL, true }, { "passwordid", QMP_STR, true }, { 0 }
};
#define LIMIT(PREFIX, NAME)                                                                        \
    { PREFIX NAME, QMP_INT, true }, { PREFIX NAME "-max", QMP_INT, true },                         \
    {                                                                                              \
        PREFIX NAME "-max-length", QMP_INT, true                                                   \
    }
#define LIMITS(PREFIX)                                                                             \
    LIMIT(PREFIX, "iops-total"), LIMIT(PREFIX, "iops-read"), LIMIT(PREFIX, "iops-write"),          \
        LIMIT(PREFIX, "bps-total"), LIMIT(PREFIX, "bps-read"), LIMIT(PREFIX, "bps-write"),         \
    {                                                                                              \
        PREFIX "iops-size", QMP_INT, true                                                          \
    }
static const QmpArg limits_members[] = { LIMITS(""), { 0 } };
static const QmpType limits_type = { QMP_OBJECT, .members = limits_members };
static const QmpArg throttle_group_members[] = {
    { "limits", QMP_OBJECT, true, .type = &limits_type }, LIMITS("x-"), { 0 }
};
/* "loaded", which clients need not know, is why some are open. */
static const Branch object_branches[] = {
    CASE("iothread", iothread_members),           OPEN_CASE("secret", secret_members),
    OPEN_CASE("secret_keyring", keyring_members), CASE("throttle-group", throttle_group_members),
    OPEN_CASE("tls-creds-anon", anon_members),    OPEN_CASE("tls-creds-psk", psk_members),
    OPEN_CASE("tls-creds-x509", x509_members),
};

static const QmpType *object_of(const char *value)
{
    return find(object_branches, G_N_ELEMENTS(object_branches), value);
}

static char **object_types(void)
{
    return g_strdupv((char **)vit_block_object_types());
}

/* Types that are refused are so by name, with the reason: not by this table. */
static const QmpType object_name_type = { QMP_STR, .list = object_types, .open = true };
static const QmpArg object_members[] = { { "qom-type", QMP_STR, .type = &object_name_type },
                                         { "id", QMP_STR },
                                         { 0 } };
const QmpType qmp_object_type = { QMP_OBJECT, .members = object_members, .tag = "qom-type",
                                  .branch = object_of };
