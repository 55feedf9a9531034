/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-objects.c - secrets, TLS credentials, limits, iothreads of a graph */
#include "block/driver.h"
#include "block/objects/throttle-group.h"
#include "block/objects/tls.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void add(VitBlockObjects *objects, const char *text)
{
    g_autoptr(GError) error = NULL;

    bool good = vit_block_objects_add_text(objects, text, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

static void refuse(VitBlockObjects *objects, const char *text, const char *pattern)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vit_block_objects_add_text(objects, text, &error));
    g_assert_nonnull(error);
    if (!g_pattern_match_simple(pattern, error->message))
        g_error("“%s”: “%s” is not like “%s”", text, error->message, pattern);
}

static void expect_secret(VitBlockObjects *objects, const char *id, const void *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = vit_block_secret_lookup(objects, id, &error);

    g_assert_no_error(error);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, size);
}

static void test_secrets(void)
{
    VitBlockObjects *objects = vit_block_objects_new();
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vitrine-secret-XXXXXX", &path, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(write(fd, "file\n", 5), ==, 5);
    close(fd);
    g_autofree char *of_file = g_strdup_printf("secret,id=f,file=%s", path);
    add(objects, of_file);
    add(objects, "secret,id=a,data=letmein");
    add(objects, "secret,id=b,data=AAECAw==,format=base64");
    add(objects, "{\"qom-type\":\"secret\",\"id\":\"j\",\"data\":\"json\"}");
    expect_secret(objects, "f", "file\n", 5);
    expect_secret(objects, "a", "letmein", 7);
    expect_secret(objects, "b", "\0\1\2\3", 4);
    expect_secret(objects, "j", "json", 4);

    /* printf letmein | openssl enc -aes-256-cbc -a -K 00 01 .. 1f -iv 10 11 .. 1f */
    add(objects, "secret,id=master,format=base64,"
                 "data=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    add(objects, "secret,id=c,keyid=master,format=base64,iv=EBESExQVFhcYGRobHB0eHw==,"
                 "data=6Wa7U58YUl+hc//5rSKPgA==");
    expect_secret(objects, "c", "letmein", 7);

    refuse(objects,
           "secret,id=x,keyid=master,format=base64,data=6Wa7U58YUl+hc//5rSKPgA==", "IV is*");
    refuse(objects, "secret,id=x,keyid=a,iv=AAAA,data=x", "Key should be 32 bytes*");
    refuse(objects, "secret,id=x,keyid=none,iv=AAAA,data=x", "No secret with id 'none'*");
    refuse(objects, "secret,id=x,data=!!,format=base64", "Base64 data contains invalid*");
    refuse(objects, "secret,id=x,data=a,file=b", "'file' and 'data' are mutually exclusive");
    refuse(objects, "secret,id=x", "Either 'file' or 'data' must be provided");
    refuse(objects, "secret,id=x,file=/nonexistent", "Unable to read /nonexistent: *");
    refuse(objects, "secret,id=x,data=a,formt=raw", "*formt*did you mean “format”?");
    refuse(objects, "secret,id=a,data=b", "attempt to add duplicate*");
    refuse(objects, "secret,id=1,data=b", "Parameter 'id' expects*");
    refuse(objects, "secret,data=b", "Parameter 'id' is missing");
    refuse(objects, "secrets,id=x,data=b", "*did you mean “secret”?");
    refuse(objects, "authz-simple,id=x", "*not supported*");

    g_assert_null(vit_block_secret_lookup_text(objects, "none", &error));
    g_assert_error(error, VIT_BLOCK_ERROR, VIT_BLOCK_ERROR_NOT_FOUND);
    g_clear_error(&error);
    char *text = vit_block_secret_lookup_text(objects, "a", &error);
    g_assert_cmpstr(text, ==, "letmein");
    vit_block_secret_free_text(text);
    g_assert_null(vit_block_secret_lookup_text(objects, "b", &error)); /* a NUL in it */
    g_assert_nonnull(error);
    vit_block_objects_free(objects);
    g_unlink(path);
}

static void test_keyring(void)
{
    VitBlockObjects *objects = vit_block_objects_new();
    enum { PROCESS_KEYRING = -2 };
    long serial = syscall(SYS_add_key, "user", "vitrine-test", "of the kernel", 13L,
                          (long)PROCESS_KEYRING);

    refuse(objects, "secret_keyring,id=x", "'serial' parameter must be provided");
    refuse(objects, "secret_keyring,id=x,serial=1", "Unable to read key 0x1*");
    if (serial < 0) {
        g_autofree char *why = g_strdup_printf("the kernel takes no key: %s", g_strerror(errno));
        g_test_skip(why);
    } else {
        g_autofree char *text = g_strdup_printf("secret_keyring,id=k,serial=%ld", serial);
        add(objects, text);
        expect_secret(objects, "k", "of the kernel", 13);
    }
    vit_block_objects_free(objects);
}

static void count(void *opaque, const char *id, const char *type)
{
    ++*(unsigned *)opaque;
}

static void test_use(void)
{
    VitBlockObjects *objects = vit_block_objects_new();
    g_autoptr(GError) error = NULL;
    unsigned n = 0;

    add(objects, "iothread,id=io0,poll-max-ns=0");
    VitBlockObject *io = vit_block_objects_use(objects, "io0", "iothread", &error);
    g_assert_no_error(error);
    g_assert_nonnull(vit_block_object_io_thread(io));
    g_assert_null(vit_block_objects_use(objects, "io0", "secret", &error));
    g_assert_cmpstr(error->message, ==, "Object with id 'io0' is a iothread, not a secret");
    g_clear_error(&error);
    g_assert_false(vit_block_objects_remove(objects, "io0", &error));
    g_assert_cmpstr(error->message, ==, "object 'io0' is in use, can not be deleted");
    g_clear_error(&error);
    vit_block_object_release(io);
    vit_block_objects_each(objects, count, &n);
    g_assert_cmpuint(n, ==, 1);
    g_assert_true(vit_block_objects_remove(objects, "io0", &error));
    g_assert_false(vit_block_objects_remove(objects, "io0", &error));
    g_assert_cmpstr(error->message, ==, "object 'io0' not found");
    vit_block_objects_free(objects);
}

static void test_throttle(void)
{
    VitBlockObjects *objects = vit_block_objects_new();
    g_autoptr(GError) error = NULL;

    add(objects, "throttle-group,id=a,x-iops-total=100,x-iops-total-max=200,x-bps-read=1M");
    add(objects, "{\"qom-type\":\"throttle-group\",\"id\":\"b\",\"limits\":{\"bps-write\":4096,"
                 "\"iops-read\":7,\"iops-size\":512}}");
    refuse(objects, "throttle-group,id=x,x-iops-total=1,x-iops-read=1", "*cannot be used at*");
    refuse(objects, "throttle-group,id=x,x-bps-read-max=1", "*require corresponding*");
    refuse(objects, "throttle-group,id=x,x-bps-read=9,x-bps-read-max=1", "*cannot be lower*");
    refuse(objects, "throttle-group,id=x,limits.bps-reed=9", "*did you mean “bps-read”?");
    VitBlockObject *a = vit_block_objects_use(objects, "a", "throttle-group", &error);
    VitBlockObject *b = vit_block_objects_use(objects, "b", "throttle-group", &error);
    VitThrottleLimits limits = vit_throttle_group_limits(a);
    g_assert_cmpuint(limits.bucket[VIT_THROTTLE_IOPS_TOTAL].burst, ==, 200);
    g_assert_cmpuint(limits.bucket[VIT_THROTTLE_BPS_READ].average, ==, 1 << 20);
    limits = vit_throttle_group_limits(b);
    g_assert_cmpuint(limits.iops_size, ==, 512);
    vit_throttle_group_set_limits(a, &limits);
    limits = vit_throttle_group_limits(a);
    g_assert_cmpuint(limits.bucket[VIT_THROTTLE_BPS_WRITE].average, ==, 4096);
    vit_block_object_release(a);
    vit_block_objects_free(objects); /* b lives on */
    g_assert_cmpstr(vit_block_object_id(b), ==, "b");
    vit_block_object_release(b);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static gnutls_x509_privkey_t new_key(void)
{
    gnutls_x509_privkey_t key;

    g_assert_cmpint(gnutls_x509_privkey_init(&key), ==, 0);
    g_assert_cmpint(gnutls_x509_privkey_generate(
                        key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                    ==, 0);
    return key;
}

static gnutls_x509_crt_t new_cert(const char *name, gnutls_x509_privkey_t key,
                                  gnutls_x509_crt_t issuer, gnutls_x509_privkey_t issuer_key,
                                  time_t until)
{
    gnutls_x509_crt_t cert;
    uint8_t serial = 7;

    gnutls_x509_crt_init(&cert);
    gnutls_x509_crt_set_version(cert, 3);
    gnutls_x509_crt_set_key(cert, key);
    gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                  (unsigned)strlen(name));
    gnutls_x509_crt_set_serial(cert, &serial, sizeof serial);
    gnutls_x509_crt_set_activation_time(cert, time(NULL) - 7200);
    gnutls_x509_crt_set_expiration_time(cert, until);
    gnutls_x509_crt_set_basic_constraints(cert, issuer == NULL, -1);
    if (!issuer) gnutls_x509_crt_set_key_usage(cert, GNUTLS_KEY_KEY_CERT_SIGN);
    else
        gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name),
                                             GNUTLS_FSAN_SET);
    g_assert_cmpint(gnutls_x509_crt_sign2(cert, issuer ?: cert, issuer_key, GNUTLS_DIG_SHA256, 0),
                    ==, 0);
    return cert;
}

static void save(const char *dir, const char *name, gnutls_datum_t *datum)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    g_assert_true(g_file_set_contents(path, (char *)datum->data, datum->size, NULL));
    gnutls_free(datum->data);
}

static void save_cert(const char *dir, const char *name, gnutls_x509_crt_t cert)
{
    gnutls_datum_t datum;

    g_assert_cmpint(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &datum), ==, 0);
    save(dir, name, &datum);
}

static void save_key(const char *dir, const char *name, gnutls_x509_privkey_t key,
                     const char *password)
{
    gnutls_datum_t datum;

    g_assert_cmpint(gnutls_x509_privkey_export2_pkcs8(
                        key, GNUTLS_X509_FMT_PEM, password,
                        password ? GNUTLS_PKCS_PBES2_AES_256 : GNUTLS_PKCS_PLAIN, &datum),
                    ==, 0);
    save(dir, name, &datum);
}

typedef struct {
    VitBlockObject *creds;
    int fd;
    const char *hostname;
    char *peer;
    bool good;
} End;

static void *run_end(void *opaque)
{
    End *e = opaque;
    gnutls_session_t session;
    int code;

    if (!vit_block_tls_session_new(e->creds, 0, e->hostname, &session, NULL)) return NULL;
    gnutls_transport_set_int(session, e->fd);
    do code = gnutls_handshake(session);
    while (code < 0 && !gnutls_error_is_fatal(code));
    e->good = code >= 0 && vit_block_tls_verify(e->creds, session, e->hostname, &e->peer, NULL);
    shutdown(e->fd, SHUT_WR);
    gnutls_deinit(session);
    return NULL;
}

static bool talk(VitBlockObjects *objects, const char *client, const char *server,
                 const char *hostname, char **peer)
{
    g_autoptr(GError) error = NULL;
    int fds[2];
    End c = { .creds = vit_block_tls_use(objects, client, false, &error), .hostname = hostname };
    End s = { .creds = vit_block_tls_use(objects, server, true, &error) };

    g_assert_no_error(error);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    c.fd = fds[0];
    s.fd = fds[1];
    GThread *thread = g_thread_new("server", run_end, &s);
    run_end(&c);
    g_thread_join(thread);
    close(fds[0]);
    close(fds[1]);
    vit_block_object_release(c.creds);
    vit_block_object_release(s.creds);
    if (peer) *peer = c.peer;
    else g_free(c.peer);
    g_free(s.peer);
    return c.good && s.good;
}

static void add_in(VitBlockObjects *objects, const char *format, const char *dir)
{
    g_autofree char *text = g_strconcat(format, ",dir=", dir, NULL);

    add(objects, text);
}

static void remove_all(const char *dir)
{
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_unlink(path);
    }
    g_rmdir(dir);
}

static void test_tls(void)
{
    VitBlockObjects *objects = vit_block_objects_new();
    g_autofree char *dir = g_dir_make_tmp("vitrine-tls-XXXXXX", NULL), *peer = NULL;
    gnutls_x509_privkey_t ca_key = new_key(), key = new_key();
    time_t later = time(NULL) + 7200, past = time(NULL) - 3600;
    gnutls_x509_crt_t ca = new_cert("ca", ca_key, NULL, ca_key, later);
    gnutls_x509_crt_t cert = new_cert("server.test", key, ca, ca_key, later);
    gnutls_x509_crt_t old = new_cert("client.test", key, ca, ca_key, past);
    gnutls_x509_crt_t stranger = new_cert("client.test", key, cert, key, later);
    g_autoptr(GError) error = NULL;

    save_cert(dir, "ca-cert.pem", ca);
    save_cert(dir, "server-cert.pem", cert);
    save_key(dir, "server-key.pem", key, "sesame");
    save_cert(dir, "client-cert.pem", old);
    save_key(dir, "client-key.pem", key, NULL);
    g_autofree char *client = g_strconcat("tls-creds-x509,id=c,dir=", dir, NULL);
    g_autofree char *server = g_strconcat("tls-creds-x509,endpoint=server,id=s,dir=", dir, NULL);
    refuse(objects, client, "The certificate */client-cert.pem has expired");
    refuse(objects, server, "Cannot load certificate*");
    save_cert(dir, "client-cert.pem", stranger);
    refuse(objects, client, "Our own certificate */client-cert.pem failed validation*");
    save_cert(dir, "client-cert.pem", cert);
    add(objects, client);
    add(objects, "secret,id=pw,data=sesame");
    add_in(objects, "tls-creds-x509,id=s,endpoint=server,passwordid=pw", dir);
    g_assert_true(talk(objects, "c", "s", "server.test", &peer));
    g_assert_cmpstr(peer, ==, "CN=server.test");
    g_assert_false(talk(objects, "c", "s", "other.test", NULL));

    g_autofree char *psk = g_build_filename(dir, "keys.psk", NULL);
    g_assert_true(g_file_set_contents(psk, "qemu:00112233\nother:44556677\n", -1, NULL));
    add_in(objects, "tls-creds-psk,id=pc", dir);
    add_in(objects, "tls-creds-psk,id=pc2,username=other", dir);
    add_in(objects, "tls-creds-psk,id=ps,endpoint=server", dir);
    g_assert_true(talk(objects, "pc", "ps", NULL, NULL));
    g_assert_true(talk(objects, "pc2", "ps", NULL, NULL));
    g_assert_true(g_file_set_contents(psk, "qemu:ffff\n", -1, NULL));
    g_assert_false(talk(objects, "pc", "ps", NULL, NULL));
    g_autofree char *nobody = g_strconcat("tls-creds-psk,id=x,username=nobody,dir=", dir, NULL);
    refuse(objects, nobody, "Username nobody not found*");

    add(objects, "tls-creds-anon,id=ac");
    add(objects, "tls-creds-anon,id=as,endpoint=server");
    g_assert_true(talk(objects, "ac", "as", NULL, NULL));
    g_assert_false(talk(objects, "ac", "s", NULL, NULL));
    refuse(objects, "tls-creds-anon,id=x,priority=BOGUS", "*priority BOGUS*");
    refuse(objects, "tls-creds-x509,id=x", "Missing 'dir' property value");
    refuse(objects, "tls-creds-x509,id=x,dir=/nonexistent", "Unable to access credentials*");
    g_assert_null(vit_block_tls_use(objects, "ac", true, &error));
    g_assert_cmpstr(error->message, ==, "Expecting TLS credentials with a server endpoint");
    g_clear_error(&error);
    g_assert_null(vit_block_tls_use(objects, "pw", true, &error));

    vit_block_objects_free(objects);
    gnutls_x509_crt_deinit(ca);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_crt_deinit(old);
    gnutls_x509_crt_deinit(stranger);
    gnutls_x509_privkey_deinit(ca_key);
    gnutls_x509_privkey_deinit(key);
    remove_all(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block/objects/secrets", test_secrets);
    g_test_add_func("/block/objects/keyring", test_keyring);
    g_test_add_func("/block/objects/use", test_use);
    g_test_add_func("/block/objects/throttle", test_throttle);
    g_test_add_func("/block/objects/tls", test_tls);
    return g_test_run();
}
