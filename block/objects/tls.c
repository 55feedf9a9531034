/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects/tls.c - see tls.h: credentials from a folder of files with fixed names
 *
 * ca-cert.pem, ca-crl.pem, {server,client}-{cert,key}.pem; keys.psk; dh-params.pem.  Diffie-Hellman
 * parameters are the standard ones unless dh-params.pem is there. */
#include "block/objects/tls.h"

#include "block/driver.h"
#include "block/objects/object.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    VitBlockObject parent;
    char *dir, *priority; /* owned; priority NULL: the default one */
    bool server, verify_peer;
    gnutls_dh_params_t dh; /* owned; NULL: the library's */
    gnutls_certificate_credentials_t x509; /* owned, one of these by type */
    gnutls_anon_client_credentials_t anon_client;
    gnutls_anon_server_credentials_t anon_server;
    gnutls_psk_client_credentials_t psk_client;
    gnutls_psk_server_credentials_t psk_server;
} Tls;

static bool tls_fail(GError **error, int code, const char *what)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "%s: %s", what, gnutls_strerror(code));
}

/* ---- files ----------------------------------------------------------------------------------- */

/* True with *path NULL: an optional file is not there. */
static bool find_file(const Tls *t, const char *name, bool required, char **path, GError **error)
{
    g_autofree char *full = g_build_filename(t->dir, name, NULL);

    *path = NULL;
    if (access(full, R_OK) < 0) {
        if (errno == ENOENT && !required) return true;
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                              _("Unable to access credentials %s: %s"), full, g_strerror(errno));
    }
    *path = g_steal_pointer(&full);
    return true;
}

static bool load_file(const char *path, gnutls_datum_t *datum, GError **error)
{
    char *data = NULL;
    gsize size = 0;
    g_autoptr(GError) why = NULL;

    if (!g_file_get_contents(path, &data, &size, &why))
        return vit_block_fail(error, VIT_BLOCK_ERROR_IO, _("Unable to read %s: %s"), path,
                              why->message);
    *datum = (gnutls_datum_t){ (unsigned char *)data, (unsigned)MIN(size, UINT_MAX) };
    return true;
}

static void free_datum(gnutls_datum_t *datum)
{
    if (datum->data) explicit_bzero(datum->data, datum->size);
    g_clear_pointer(&datum->data, g_free);
}

static bool load_dh(Tls *t, GError **error)
{
    g_autofree char *path = NULL;
    gnutls_datum_t datum = { 0 };

    if (!t->server || !find_file(t, "dh-params.pem", false, &path, error)) return !t->server;
    if (!path) return true;
    if (!load_file(path, &datum, error)) return false;
    int code = gnutls_dh_params_init(&t->dh);
    if (code >= 0) code = gnutls_dh_params_import_pkcs3(t->dh, &datum, GNUTLS_X509_FMT_PEM);
    free_datum(&datum);
    return code >= 0 || tls_fail(error, code, _("Unable to load DH parameters"));
}

static bool take_common(Tls *t, VitBlockArgs *args, GError **error)
{
    static const char *const ends[] = { "client", "server", NULL };
    int end = 0;
    bool loaded = true; /* an old way to say when; still written by some */

    t->verify_peer = true;
    t->dir = g_strdup(vit_block_args_str(args, "dir"));
    t->priority = g_strdup(vit_block_args_str(args, "priority"));
    if (!vit_block_args_enum(args, "endpoint", ends, &end, error) ||
        !vit_block_args_bool(args, "verify-peer", &t->verify_peer, error) ||
        !vit_block_args_bool(args, "loaded", &loaded, error))
        return false;
    t->server = end == 1;
    if (t->priority) { /* a mistake is better known now than at the first connection */
        gnutls_priority_t cache;
        int code = gnutls_priority_init(&cache, t->priority, NULL);
        if (code < 0)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("Unable to set TLS session priority %s: %s"), t->priority,
                                  gnutls_strerror(code));
        gnutls_priority_deinit(cache);
    }
    return true;
}

static bool need_dir(const Tls *t, GError **error)
{
    return t->dir ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Missing 'dir' property value"));
}

/* ---- x509 ------------------------------------------------------------------------------------ */

static bool check_times(gnutls_x509_crt_t cert, const char *path, GError **error)
{
    time_t now = time(NULL);

    if (gnutls_x509_crt_get_expiration_time(cert) < now)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("The certificate %s has expired"),
                              path);
    return gnutls_x509_crt_get_activation_time(cert) <= now ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("The certificate %s is not yet active"),
                          path);
}

static bool import_list(const char *path, gnutls_x509_crt_t **list, unsigned *count, GError **error)
{
    gnutls_datum_t datum = { 0 };

    if (!load_file(path, &datum, error)) return false;
    int code = gnutls_x509_crt_list_import2(list, count, &datum, GNUTLS_X509_FMT_PEM, 0);
    free_datum(&datum);
    if (code < 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Unable to import certificate %s: %s"), path,
                              gnutls_strerror(code));
    return true;
}

static void free_list(gnutls_x509_crt_t *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++) gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
}

static bool check_chain(gnutls_x509_crt_t *cas, unsigned n_cas, const char *ca_path,
                        gnutls_x509_crt_t *certs, unsigned n_certs, const char *cert_path,
                        GError **error)
{
    unsigned status = 0, critical;

    for (unsigned i = 0; i < n_cas; i++) {
        if (!check_times(cas[i], ca_path, error)) return false;
        if (gnutls_x509_crt_get_basic_constraints(cas[i], &critical, &status, NULL) < 0 || !status)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("The certificate %s basic constraints do not show a CA"),
                                  ca_path);
    }
    for (unsigned i = 0; i < n_certs; i++) {
        if (!check_times(certs[i], cert_path, error)) return false;
    }
    if (n_certs == 0) return true;
    int code = gnutls_x509_crt_list_verify(certs, (int)n_certs, cas, (int)n_cas, NULL, 0, 0,
                                           &status);
    if (code < 0) return tls_fail(error, code, _("Unable to verify the certificate chain"));
    return status == 0 ||
           vit_block_fail(
               error, VIT_BLOCK_ERROR_INVALID,
               _("Our own certificate %s failed validation against %s: %s"), cert_path, ca_path,
               status & GNUTLS_CERT_SIGNER_NOT_FOUND ? "The certificate hasn't got a known issuer"
               : status & GNUTLS_CERT_REVOKED        ? "The certificate has been revoked"
               : status & GNUTLS_CERT_INSECURE_ALGORITHM
                   ? "The certificate uses an insecure algorithm"
                   : "The certificate is not trusted");
}

static bool sanity_check(const char *ca_path, const char *cert_path, GError **error)
{
    gnutls_x509_crt_t *cas = NULL, *certs = NULL;
    unsigned n_cas = 0, n_certs = 0;
    bool good = import_list(ca_path, &cas, &n_cas, error) &&
                (!cert_path || import_list(cert_path, &certs, &n_certs, error)) &&
                check_chain(cas, n_cas, ca_path, certs, n_certs, cert_path, error);

    free_list(cas, n_cas);
    free_list(certs, n_certs);
    return good;
}

static bool x509_load_own(Tls *t, VitBlockArgs *args, const char *cert, const char *key,
                          GError **error)
{
    const char *passwordid = vit_block_args_str(args, "passwordid");
    char *password = NULL;

    if (passwordid &&
        !(password = vit_block_secret_lookup_text(t->parent.table, passwordid, error)))
        return false;
    int code = cert ? gnutls_certificate_set_x509_key_file2(t->x509, cert, key, GNUTLS_X509_FMT_PEM,
                                                            password, 0)
                    : 0;
    vit_block_secret_free_text(password);
    return code >= 0 || vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                       _("Cannot load certificate '%s' & key '%s': %s"), cert, key,
                                       gnutls_strerror(code));
}

static bool x509_create(VitBlockObject *object, VitBlockArgs *args, GError **error)
{
    Tls *t = (Tls *)object;
    g_autofree char *ca = NULL, *crl = NULL, *cert = NULL, *key = NULL;
    bool sane = true;

    if (!take_common(t, args, error) || !need_dir(t, error) ||
        !vit_block_args_bool(args, "sanity-check", &sane, error) ||
        !find_file(t, "ca-cert.pem", true, &ca, error) ||
        !find_file(t, t->server ? "server-cert.pem" : "client-cert.pem", t->server, &cert, error) ||
        !find_file(t, t->server ? "server-key.pem" : "client-key.pem", t->server || cert, &key,
                   error) ||
        !find_file(t, "ca-crl.pem", false, &crl, error))
        return false;
    if (sane && !sanity_check(ca, cert, error)) return false;
    int code = gnutls_certificate_allocate_credentials(&t->x509);
    if (code < 0) return tls_fail(error, code, _("Cannot allocate credentials"));
    code = gnutls_certificate_set_x509_trust_file(t->x509, ca, GNUTLS_X509_FMT_PEM);
    if (code < 0) return tls_fail(error, code, ca);
    if (!x509_load_own(t, args, cert, key, error)) return false;
    if (crl) {
        code = gnutls_certificate_set_x509_crl_file(t->x509, crl, GNUTLS_X509_FMT_PEM);
        if (code < 0) return tls_fail(error, code, crl);
    }
    if (!load_dh(t, error)) return false;
    if (t->dh) gnutls_certificate_set_dh_params(t->x509, t->dh);
    else if (t->server)
        (void)gnutls_certificate_set_known_dh_params(t->x509, GNUTLS_SEC_PARAM_MEDIUM);
    return true;
}

/* ---- anonymous and with keys agreed before --------------------------------------------------- */

static bool anon_create(VitBlockObject *object, VitBlockArgs *args, GError **error)
{
    Tls *t = (Tls *)object;

    if (!take_common(t, args, error)) return false;
    if (!t->dir) t->dir = g_strdup("/nonexistent"); /* only dh-params.pem would be looked for */
    int code = t->server ? gnutls_anon_allocate_server_credentials(&t->anon_server)
                         : gnutls_anon_allocate_client_credentials(&t->anon_client);
    if (code < 0) return tls_fail(error, code, _("Cannot allocate credentials"));
    if (!load_dh(t, error)) return false;
    if (t->dh) gnutls_anon_set_server_dh_params(t->anon_server, t->dh);
    else if (t->server)
        (void)gnutls_anon_set_server_known_dh_params(t->anon_server, GNUTLS_SEC_PARAM_MEDIUM);
    return true;
}

/* The hexadecimal key of username in a file of lines "name:key". */
static bool psk_find_key(const char *path, const char *username, gnutls_datum_t *key,
                         GError **error)
{
    gnutls_datum_t file = { 0 };
    bool found = false;

    if (!load_file(path, &file, error)) return false;
    g_auto(GStrv) lines = g_strsplit_set((char *)file.data, "\r\n", -1);
    for (unsigned i = 0; lines[i] && !found; i++) {
        char *colon = strchr(lines[i], ':');
        if (!colon || strlen(username) != (size_t)(colon - lines[i]) ||
            strncmp(lines[i], username, strlen(username)) != 0)
            continue;
        found = true;
        *key = (gnutls_datum_t){ (unsigned char *)g_strdup(colon + 1),
                                 (unsigned)strlen(colon + 1) };
    }
    for (unsigned i = 0; lines[i]; i++) explicit_bzero(lines[i], strlen(lines[i]));
    free_datum(&file);
    return found || vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                                   _("Username %s not found in PSK file %s"), username, path);
}

static bool psk_create(VitBlockObject *object, VitBlockArgs *args, GError **error)
{
    Tls *t = (Tls *)object;
    g_autofree char *path = NULL;
    const char *username = vit_block_args_str(args, "username");

    if (!take_common(t, args, error) || !need_dir(t, error)) return false;
    if (t->server && username)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("username should not be set when endpoint=server"));
    if (!find_file(t, "keys.psk", true, &path, error)) return false;
    if (t->server) {
        int code = gnutls_psk_allocate_server_credentials(&t->psk_server);
        if (code >= 0) code = gnutls_psk_set_server_credentials_file(t->psk_server, path);
        if (code < 0) return tls_fail(error, code, _("Cannot set PSK server credentials"));
        if (!load_dh(t, error)) return false;
        if (t->dh) gnutls_psk_set_server_dh_params(t->psk_server, t->dh);
        else (void)gnutls_psk_set_server_known_dh_params(t->psk_server, GNUTLS_SEC_PARAM_MEDIUM);
        return true;
    }
    gnutls_datum_t key = { 0 };
    if (!username) username = "qemu";
    if (!psk_find_key(path, username, &key, error)) return false;
    int code = gnutls_psk_allocate_client_credentials(&t->psk_client);
    if (code >= 0)
        code = gnutls_psk_set_client_credentials(t->psk_client, username, &key, GNUTLS_PSK_KEY_HEX);
    free_datum(&key);
    return code >= 0 || tls_fail(error, code, _("Cannot set PSK client credentials"));
}

static void tls_destroy(VitBlockObject *object)
{
    Tls *t = (Tls *)object;

    g_clear_pointer(&t->x509, gnutls_certificate_free_credentials);
    g_clear_pointer(&t->anon_client, gnutls_anon_free_client_credentials);
    g_clear_pointer(&t->anon_server, gnutls_anon_free_server_credentials);
    g_clear_pointer(&t->psk_client, gnutls_psk_free_client_credentials);
    g_clear_pointer(&t->psk_server, gnutls_psk_free_server_credentials);
    g_clear_pointer(&t->dh, gnutls_dh_params_deinit);
    g_free(t->dir);
    g_free(t->priority);
}

const VitBlockObjectClass vit_block_tls_anon_class = { .type = "tls-creds-anon",
                                                       .instance_size = sizeof(Tls),
                                                       .create = anon_create,
                                                       .destroy = tls_destroy };
const VitBlockObjectClass vit_block_tls_psk_class = { .type = "tls-creds-psk",
                                                      .instance_size = sizeof(Tls),
                                                      .create = psk_create,
                                                      .destroy = tls_destroy };
const VitBlockObjectClass vit_block_tls_x509_class = { .type = "tls-creds-x509",
                                                       .instance_size = sizeof(Tls),
                                                       .create = x509_create,
                                                       .destroy = tls_destroy };

/* ---- sessions -------------------------------------------------------------------------------- */

VitBlockObject *vit_block_tls_use(VitBlockObjects *objects, const char *id, bool server,
                                  GError **error)
{
    g_autoptr(GError) why = NULL;
    VitBlockObject *object = vit_block_objects_use(objects, id, NULL, &why);

    if (!object) {
        vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, _("No TLS credentials with id '%s'"), id);
        return NULL;
    }
    if (object->klass->destroy != tls_destroy) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("Object with id '%s' is not TLS credentials"), id);
    } else if (((Tls *)object)->server != server) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("Expecting TLS credentials with a %s endpoint"),
                       server ? "server" : "client");
    } else {
        return object;
    }
    vit_block_object_release(object);
    return NULL;
}

/* Adds what the kind of credentials needs to the priorities, as QEMU does. */
static int set_priority(const Tls *t, gnutls_session_t session)
{
    const char *more = t->x509                            ? NULL
                       : t->anon_client || t->anon_server ? "+ANON-DH"
                                                          : "+ECDHE-PSK:+DHE-PSK:+PSK";
    g_autofree char *text = g_strconcat(t->priority ?: "NORMAL", more ? ":" : NULL, more, NULL);

    return gnutls_priority_set_direct(session, text, NULL);
}

bool vit_block_tls_session_new(VitBlockObject *creds, unsigned flags, const char *hostname,
                               gnutls_session_t *session, GError **error)
{
    const Tls *t = (const Tls *)creds;
    int code = gnutls_init(session, flags | (t->server ? GNUTLS_SERVER : GNUTLS_CLIENT));

    if (code < 0) return tls_fail(error, code, _("Cannot initialize TLS session"));
    code = set_priority(t, *session);
    if (code >= 0 && t->x509)
        code = gnutls_credentials_set(*session, GNUTLS_CRD_CERTIFICATE, t->x509);
    if (code >= 0 && (t->anon_client || t->anon_server))
        code = gnutls_credentials_set(*session, GNUTLS_CRD_ANON,
                                      t->server ? (void *)t->anon_server : (void *)t->anon_client);
    if (code >= 0 && (t->psk_client || t->psk_server))
        code = gnutls_credentials_set(*session, GNUTLS_CRD_PSK,
                                      t->server ? (void *)t->psk_server : (void *)t->psk_client);
    if (code >= 0 && t->x509 && t->server)
        gnutls_certificate_server_set_request(*session, t->verify_peer ? GNUTLS_CERT_REQUIRE
                                                                       : GNUTLS_CERT_IGNORE);
    if (code >= 0 && hostname && !t->server && t->x509 && !g_hostname_is_ip_address(hostname))
        code = gnutls_server_name_set(*session, GNUTLS_NAME_DNS, hostname, strlen(hostname));
    if (code >= 0) return true;
    gnutls_deinit(*session);
    *session = NULL;
    return tls_fail(error, code, _("Cannot set TLS session credentials"));
}

static char *peer_name(gnutls_session_t session)
{
    unsigned count = 0;
    const gnutls_datum_t *certs = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t cert = NULL;
    gnutls_datum_t dn = { 0 };
    char *name = NULL;

    if (!certs || count == 0 || gnutls_x509_crt_init(&cert) < 0) return NULL;
    if (gnutls_x509_crt_import(cert, &certs[0], GNUTLS_X509_FMT_DER) >= 0 &&
        gnutls_x509_crt_get_dn2(cert, &dn) >= 0)
        name = g_strndup((char *)dn.data, dn.size);
    gnutls_free(dn.data);
    gnutls_x509_crt_deinit(cert);
    return name;
}

bool vit_block_tls_verify(VitBlockObject *creds, gnutls_session_t session, const char *hostname,
                          char **peer, GError **error)
{
    const Tls *t = (const Tls *)creds;
    unsigned status = 0;

    if (peer) *peer = NULL;
    /* Without certificates the handshake itself has proved all that there is to prove. */
    if (!t->x509 || (t->server && !t->verify_peer)) return true;
    if (!t->verify_peer) return true;
    int code = gnutls_certificate_verify_peers3(session, t->server ? NULL : hostname, &status);
    if (code < 0) return tls_fail(error, code, _("Verify failed"));
    if (status) {
        gnutls_datum_t text = { 0 };
        (void)gnutls_certificate_verification_status_print(
            status, gnutls_certificate_type_get(session), &text, 0);
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Certificate verification failed%s%s: %s"),
                       hostname ? " for " : "", hostname ?: "",
                       text.data ? (char *)text.data : "not trusted");
        gnutls_free(text.data);
        return false;
    }
    if (peer) *peer = peer_name(session);
    return true;
}
