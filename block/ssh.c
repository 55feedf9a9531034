/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/ssh.c - images on hosts that are reached by SSH, through SFTP (libssh)
 *
 * Each connection has a thread of its own.  Reads and writes are cut into pieces of which many are
 * on their way at once.  Who may log in is found out as ssh(1) does: the agent, then key files. */
#include "block/call.h"
#include "block/module.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <libssh/libssh.h>
#include <libssh/sftp.h>
#include <string.h>

enum { PIECE = 64 << 10, IN_FLIGHT = 32, TIMEOUT_SECONDS = 30, DEFAULT_PORT = 22 };

typedef enum { CHECK_NONE, CHECK_HASH, CHECK_KNOWN_HOSTS } CheckMode;

typedef struct {
    char *host, *user, *path, *hash; /* owned; user NULL: as ssh(1) would; hash: hexadecimal */
    uint64_t port;
    int check; /* CheckMode */
    int hash_type; /* enum ssh_publickey_hash_type */
    bool writable, create;
    /* of the thread */
    ssh_session session;
    sftp_session sftp;
    sftp_file file;
    uint64_t size;
    bool can_fsync;
    GError *error; /* of connect_run() */
} Link;

typedef struct {
    VitBlockNode parent;
    VitIoThread *worker; /* owned */
    Link link; /* used on worker alone once it is open */
} Ssh;

/* ---- connecting (on the worker) -------------------------------------------------------------- */

static bool ssh_fail(Link *l, const char *what)
{
    return vit_block_fail(&l->error, VIT_BLOCK_ERROR_IO, "%s: %s", what,
                          l->session ? ssh_get_error(l->session) : "no session");
}

static bool check_hash(Link *l)
{
    static const int types[] = { SSH_PUBLICKEY_HASH_MD5, SSH_PUBLICKEY_HASH_SHA1,
                                 SSH_PUBLICKEY_HASH_SHA256 };
    ssh_key key = NULL;
    unsigned char *hash = NULL;
    size_t size = 0;
    GString *text = g_string_new(NULL);

    if (ssh_get_server_publickey(l->session, &key) != SSH_OK ||
        ssh_get_publickey_hash(key, (enum ssh_publickey_hash_type)types[l->hash_type], &hash,
                               &size) != SSH_OK) {
        ssh_key_free(key);
        g_string_free(text, TRUE);
        return ssh_fail(l, "failed to read remote host key");
    }
    for (size_t i = 0; i < size; i++) g_string_append_printf(text, "%02x", hash[i]);
    ssh_clean_pubkey_hash(&hash);
    ssh_key_free(key);
    g_auto(GStrv) parts = g_strsplit(l->hash, ":", -1);
    g_autofree char *wanted = g_strjoinv("", parts);
    bool same = g_ascii_strcasecmp(text->str, wanted) == 0;
    if (!same)
        vit_block_fail(&l->error, VIT_BLOCK_ERROR_INVALID,
                       _("remote host key fingerprint '%s' does not match host_key_check '%s'"),
                       text->str, l->hash);
    g_string_free(text, TRUE);
    return same;
}

static bool check_known_hosts(Link *l)
{
    switch (ssh_session_is_known_server(l->session)) {
    case SSH_KNOWN_HOSTS_OK: return true;
    case SSH_KNOWN_HOSTS_CHANGED:
        return vit_block_fail(
            &l->error, VIT_BLOCK_ERROR_INVALID,
            _("host key of %s does not match the one in known_hosts; this may be a "
              "possible attack"),
            l->host);
    case SSH_KNOWN_HOSTS_OTHER:
        return vit_block_fail(&l->error, VIT_BLOCK_ERROR_INVALID,
                              _("host key of %s not found, another type exists"), l->host);
    case SSH_KNOWN_HOSTS_UNKNOWN:
    case SSH_KNOWN_HOSTS_NOT_FOUND:
        return vit_block_fail(
            &l->error, VIT_BLOCK_ERROR_INVALID,
            _("no host key was found in known_hosts; connect to %s with ssh once"), l->host);
    default: return ssh_fail(l, "failure matching the host key with known_hosts");
    }
}

static bool log_in(Link *l)
{
    if (l->check == CHECK_HASH && !check_hash(l)) return false;
    if (l->check == CHECK_KNOWN_HOSTS && !check_known_hosts(l)) return false;
    if (ssh_userauth_none(l->session, NULL) == SSH_AUTH_SUCCESS) return true;
    if (ssh_userauth_publickey_auto(l->session, NULL, NULL) == SSH_AUTH_SUCCESS) return true;
    return vit_block_fail(
        &l->error, VIT_BLOCK_ERROR_INVALID,
        _("failed to authenticate using publickey authentication and the identities "
          "held by your ssh-agent: %s"),
        ssh_get_error(l->session));
}

static bool open_file(Link *l)
{
    int flags = l->create ? O_RDWR | O_CREAT | O_TRUNC : l->writable ? O_RDWR : O_RDONLY;

    l->sftp = sftp_new(l->session);
    if (!l->sftp || sftp_init(l->sftp) != SSH_OK)
        return ssh_fail(l, "failed to initialize sftp handle");
    l->file = sftp_open(l->sftp, l->path, flags, 0644);
    if (!l->file) {
        int code = sftp_get_error(l->sftp);
        return vit_block_fail(&l->error, VIT_BLOCK_ERROR_NOT_FOUND,
                              _("failed to open remote file '%s': %s"), l->path,
                              code == SSH_FX_NO_SUCH_FILE        ? "No such file"
                              : code == SSH_FX_PERMISSION_DENIED ? "Permission denied"
                                                                 : ssh_get_error(l->session));
    }
    sftp_attributes facts = sftp_fstat(l->file);
    if (!facts) return ssh_fail(l, "failed to read file attributes");
    l->size = facts->size;
    sftp_attributes_free(facts);
    l->can_fsync = sftp_extension_supported(l->sftp, "fsync@openssh.com", "1");
    return true;
}

static void connect_run(void *opaque)
{
    Link *l = opaque;
    unsigned port = (unsigned)l->port;
    long timeout = TIMEOUT_SECONDS;

    l->session = ssh_new();
    if (!l->session || (l->user && ssh_options_set(l->session, SSH_OPTIONS_USER, l->user) < 0) ||
        ssh_options_set(l->session, SSH_OPTIONS_HOST, l->host) < 0 ||
        ssh_options_set(l->session, SSH_OPTIONS_PORT, &port) < 0 ||
        ssh_options_set(l->session, SSH_OPTIONS_TIMEOUT, &timeout) < 0 ||
        ssh_options_set(l->session, SSH_OPTIONS_COMPRESSION, "no") < 0) {
        ssh_fail(l, "failed to set up the session");
        return;
    }
    (void)ssh_options_parse_config(l->session, NULL); /* ~/.ssh/config, if there is one */
    if (ssh_connect(l->session) != SSH_OK) {
        vit_block_fail(&l->error, VIT_BLOCK_ERROR_IO, _("Failed to connect to '%s:%u': %s"),
                       l->host, port, ssh_get_error(l->session));
        return;
    }
    if (log_in(l)) open_file(l);
}

static void disconnect_run(void *opaque)
{
    Link *l = opaque;

    if (l->file) sftp_close(l->file);
    if (l->sftp) sftp_free(l->sftp);
    if (l->session) {
        ssh_disconnect(l->session);
        ssh_free(l->session);
    }
    l->file = NULL;
    l->sftp = NULL;
    l->session = NULL;
}

static void free_link(Link *l)
{
    g_free(l->host);
    g_free(l->user);
    g_free(l->path);
    g_free(l->hash);
    g_clear_error(&l->error);
}

/* ---- reading and writing --------------------------------------------------------------------- */

typedef struct {
    Link *link;
    uint8_t *buf;
    uint64_t offset, bytes;
    bool write;
    int result;
} Move;

typedef struct {
    sftp_aio aio; /* owned; NULL: ended */
    uint8_t *at;
    uint64_t offset;
    size_t size;
} Piece;

/* What a short answer has left out, one after the other. */
static int move_rest(Link *l, bool write, uint8_t *at, uint64_t offset, size_t size)
{
    while (size > 0) {
        if (sftp_seek64(l->file, offset) < 0) return -EIO;
        ssize_t got = write ? sftp_write(l->file, at, size) : sftp_read(l->file, at, size);
        if (got < 0 || (write && got == 0)) return -EIO;
        if (got == 0) { /* the file has become shorter */
            memset(at, 0, size);
            return 0;
        }
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static int begin_piece(Move *m, Piece *p, uint64_t done)
{
    Link *l = m->link;
    size_t size = MIN(PIECE, m->bytes - done);

    *p = (Piece){ .at = m->buf + done, .offset = m->offset + done };
    if (sftp_seek64(l->file, p->offset) < 0) return -EIO;
    ssize_t begun = m->write ? sftp_aio_begin_write(l->file, p->at, size, &p->aio)
                             : sftp_aio_begin_read(l->file, size, &p->aio);
    if (begun <= 0) return -EIO;
    p->size = (size_t)begun;
    return 0;
}

static int end_piece(Move *m, Piece *p)
{
    ssize_t got = m->write ? sftp_aio_wait_write(&p->aio)
                           : sftp_aio_wait_read(&p->aio, p->at, p->size);

    if (got < 0) return -EIO;
    return move_rest(m->link, m->write, p->at + got, p->offset + (uint64_t)got,
                     p->size - (size_t)got);
}

static void move_run(void *opaque)
{
    Move *m = opaque;
    Piece pieces[IN_FLIGHT];
    unsigned first = 0, count = 0;
    uint64_t done = 0;

    while (count > 0 || (done < m->bytes && m->result == 0)) {
        if (done < m->bytes && count < IN_FLIGHT && m->result == 0) {
            Piece *p = &pieces[(first + count) % IN_FLIGHT];
            m->result = begin_piece(m, p, done);
            if (m->result < 0) continue;
            done += p->size;
            count++;
        } else { /* also after an error: what is on its way must be taken in */
            int code = end_piece(m, &pieces[first]);
            if (m->result == 0) m->result = code;
            first = (first + 1) % IN_FLIGHT;
            count--;
        }
    }
    if (m->write && m->result == 0) m->link->size = MAX(m->link->size, m->offset + m->bytes);
}

static int move(Ssh *s, bool write, uint64_t offset, uint64_t bytes, uint8_t *buf)
{
    Move m = { .link = &s->link, .buf = buf, .offset = offset, .bytes = bytes, .write = write };

    vit_co_call(s->parent.thread, s->worker, move_run, &m);
    return m.result;
}

static int ssh_read_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                          const struct iovec *iov, int niov)
{
    uint64_t there = offset < node->size ? MIN(bytes, node->size - offset) : 0;
    g_autofree uint8_t *own = niov == 1 ? NULL : g_try_malloc(there + 1);
    uint8_t *buf = own ?: iov->iov_base;

    if (niov != 1 && !own) return -ENOMEM;
    int code = there ? move((Ssh *)node, false, offset, there, buf) : 0;
    if (code < 0) return code;
    if (own) vit_iov_from(iov, niov, 0, own, there);
    if (there < bytes) vit_iov_zero(iov, niov, there, bytes - there);
    return 0;
}

static void flush_run(void *opaque)
{
    Move *m = opaque;

    /* Without the extension there is nothing that would make a server write to its disk. */
    if (m->link->can_fsync && sftp_fsync(m->link->file) != SSH_OK) m->result = -EIO;
}

static int ssh_flush(VitBlockNode *node)
{
    Ssh *s = (Ssh *)node;
    Move m = { .link = &s->link };

    if (s->link.writable) vit_co_call(node->thread, s->worker, flush_run, &m);
    return m.result;
}

static int ssh_write_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                           const struct iovec *iov, int niov, uint32_t flags)
{
    g_autofree uint8_t *own = niov == 1 ? NULL : g_try_malloc(bytes);

    if (niov != 1 && !own) return -ENOMEM;
    if (own) vit_iov_to(iov, niov, 0, own, bytes);
    int code = move((Ssh *)node, true, offset, bytes, own ?: iov->iov_base);
    if (code == 0) node->size = MAX(node->size, offset + bytes);
    return code == 0 && (flags & VIT_BLOCK_FUA) ? ssh_flush(node) : code;
}

static void truncate_run(void *opaque)
{
    Move *m = opaque;
    struct sftp_attributes_struct facts = { .flags = SSH_FILEXFER_ATTR_SIZE, .size = m->offset };

    if (sftp_setstat(m->link->sftp, m->link->path, &facts) != SSH_OK) m->result = -EIO;
}

static bool ssh_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                         GError **error)
{
    Ssh *s = (Ssh *)node;
    Move m = { .link = &s->link, .offset = size };

    if (prealloc != VIT_PREALLOC_OFF)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Unsupported preallocation mode for ssh"));
    vit_co_call(node->thread, s->worker, truncate_run, &m);
    if (m.result < 0)
        return vit_block_fail_errno(error, m.result, _("“%s”: could not be resized"),
                                    node->filename);
    node->size = size;
    return true;
}

/* ---- names and options ----------------------------------------------------------------------- */

static bool parse(const char *filename, JsonObject *options, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GUri) uri = g_uri_parse(filename, G_URI_FLAGS_NON_DNS, &why);

    if (!uri || !g_uri_get_host(uri) || !*g_uri_get_host(uri))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s”: missing hostname in URI"),
                              filename);
    if (!*g_uri_get_path(uri))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s”: missing remote path in URI"),
                              filename);
    const char *check = NULL;
    g_autoptr(GHashTable) query = g_uri_get_query(uri)
                                      ? g_uri_parse_params(g_uri_get_query(uri), -1, "&;", 0, NULL)
                                      : NULL;
    if (query) check = g_hash_table_lookup(query, "host_key_check");
    if (g_uri_get_userinfo(uri) && *g_uri_get_userinfo(uri))
        json_object_set_string_member(options, "user", g_uri_get_userinfo(uri));
    json_object_set_string_member(options, "server.host", g_uri_get_host(uri));
    g_autofree char *port = g_strdup_printf("%d", g_uri_get_port(uri) > 0 ? g_uri_get_port(uri)
                                                                          : DEFAULT_PORT);
    json_object_set_string_member(options, "server.port", port);
    json_object_set_string_member(options, "path", g_uri_get_path(uri));
    if (check) json_object_set_string_member(options, "host_key_check", check);
    return true;
}

/* The old way to say it: "no", "yes", "md5:...", "sha1:...", "sha256:...". */
static bool old_check(Link *l, const char *check, GError **error)
{
    static const char *const prefixes[] = { "md5:", "sha1:", "sha256:" };

    if (strcmp(check, "no") == 0) l->check = CHECK_NONE;
    if (strcmp(check, "no") == 0 || strcmp(check, "yes") == 0) return true;
    for (int i = 0; i < 3; i++) {
        if (!g_str_has_prefix(check, prefixes[i])) continue;
        l->check = CHECK_HASH;
        l->hash_type = i;
        l->hash = g_strdup(check + strlen(prefixes[i]));
        return true;
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("unknown host_key_check setting (%s): yes, no, md5:, sha1:, sha256:"),
                          check);
}

static bool take_check(Link *l, VitBlockArgs *args, GError **error)
{
    static const char *const modes[] = { "none", "hash", "known_hosts", NULL };
    static const char *const types[] = { "md5", "sha1", "sha256", NULL };
    const char *old = vit_block_args_str(args, "host_key_check");

    l->check = CHECK_KNOWN_HOSTS;
    if (old) return old_check(l, old, error);
    g_autoptr(VitBlockArgs) sub = vit_block_args_sub(args, "host-key-check");
    if (!sub) return true;
    l->hash_type = -1;
    l->hash = g_strdup(vit_block_args_str(sub, "hash"));
    if (!vit_block_args_enum(sub, "mode", modes, &l->check, error) ||
        !vit_block_args_enum(sub, "type", types, &l->hash_type, error) ||
        !vit_block_args_finish(sub, error))
        return false;
    return l->check != CHECK_HASH || (l->hash && l->hash_type >= 0) ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("host-key-check.mode=hash needs host-key-check.type and .hash"));
}

static bool take_options(Link *l, VitBlockArgs *args, GError **error)
{
    g_autoptr(VitBlockArgs) server = vit_block_args_sub(args, "server");
    VitBlockArgs *where = server ?: args; /* host= and port= are the old names */

    l->port = DEFAULT_PORT;
    l->path = g_strdup(vit_block_args_str(args, "path"));
    l->user = g_strdup(vit_block_args_str(args, "user"));
    l->host = g_strdup(vit_block_args_str(where, "host"));
    if (!vit_block_args_uint(where, "port", 65535, &l->port, error)) return false;
    if (server && !vit_block_args_finish(server, error)) return false;
    if (!l->path)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter 'path' is missing"));
    if (!l->host)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("No hostname was specified"));
    return take_check(l, args, error);
}

/* ---- opening and creating -------------------------------------------------------------------- */

static void ssh_close(VitBlockNode *node)
{
    Ssh *s = (Ssh *)node;

    if (s->worker) {
        vit_co_call(node->thread, s->worker, disconnect_run, &s->link);
        vit_io_thread_free(s->worker);
        s->worker = NULL;
    }
    free_link(&s->link);
}

static bool co_connect(Ssh *s, GError **error)
{
    s->worker = vit_io_thread_new("ssh");
    vit_co_call(s->parent.thread, s->worker, connect_run, &s->link);
    if (!s->link.error) return true;
    g_propagate_prefixed_error(error, g_steal_pointer(&s->link.error), "ssh://%s%s: ", s->link.host,
                               s->link.path);
    return false;
}

static bool ssh_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Ssh *s = (Ssh *)node;

    s->link.writable = !node->how.read_only;
    if (!take_options(&s->link, args, error) || !co_connect(s, error)) {
        ssh_close(node);
        return false;
    }
    node->size = s->link.size;
    g_free(node->filename);
    node->filename = g_strdup_printf("ssh://%s%s%s:%" G_GUINT64_FORMAT "%s", s->link.user ?: "",
                                     s->link.user ? "@" : "", s->link.host, s->link.port,
                                     s->link.path);
    return true;
}

static bool ssh_create(VitBlockCreate *create, GError **error)
{
    g_autoptr(JsonObject) options = json_object_new();
    Ssh s = { .parent.thread = create->thread, .link.create = true };

    if (!create->filename || !parse(create->filename, options, error)) return false;
    g_autoptr(VitBlockArgs) args = vit_block_args_new(create->filename, options, error);
    bool good = args && take_options(&s.link, args, error) && co_connect(&s, error);
    if (good && create->size > 0) {
        Move m = { .link = &s.link, .offset = create->size };
        vit_co_call(create->thread, s.worker, truncate_run, &m);
        good = m.result == 0 ||
               vit_block_fail_errno(error, m.result, _("“%s”: could not get its size"),
                                    create->filename);
    }
    ssh_close(&s.parent);
    return good;
}

static void ssh_info(VitBlockNode *node, VitBlockInfo *info)
{
    info->zero_init = true;
}

static const VitBlockOption ssh_create_options[] = { { .name = NULL } };

static const VitBlockDriver driver = {
    .name = "ssh",
    .kind = VIT_BLOCK_PROTOCOL,
    .instance_size = sizeof(Ssh),
    .create_options = ssh_create_options,
    .parse_filename = parse,
    .co_open = ssh_open,
    .co_close = ssh_close,
    .co_read = ssh_read_range,
    .co_write = ssh_write_range,
    .co_flush = ssh_flush,
    .co_truncate = ssh_truncate,
    .info = ssh_info,
    .co_create = ssh_create,
};

VIT_BLOCK_MODULE(&driver);
