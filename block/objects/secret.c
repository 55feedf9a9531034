/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects/secret.c - passwords and keys: given directly, in a file, in the kernel's keyring;
 * maybe encrypted
 *
 * An encrypted secret is AES-256-CBC with PKCS#7 padding under another secret of 32 bytes ("keyid")
 * and a base64 "iv" of 16. */
#include "block/driver.h"
#include "block/objects/object.h"

#include <errno.h>
#include <gcrypt.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KEY_BYTES = 32, BLOCK_BYTES = 16, MAX_SECRET = 1 << 20, KEYCTL_READ_PAYLOAD = 11 };

typedef struct {
    VitBlockObject parent;
    GBytes *bytes; /* a reference */
} Secret;

typedef struct {
    uint8_t *data; /* owned */
    size_t size;
} Wiped;

static void wipe_free(void *data)
{
    Wiped *w = data;

    explicit_bzero(w->data, w->size);
    g_free(w->data);
    g_free(w);
}

static GBytes *wiped_bytes(uint8_t *data /* takes */, size_t size, size_t allocated)
{
    Wiped *w = g_new(Wiped, 1);

    *w = (Wiped){ data, allocated };
    return g_bytes_new_with_free_func(data, size, wipe_free, w);
}

static GBytes *decode_base64(const void *data, size_t size, GError **error)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n";
    g_autofree char *text = g_strndup(data, size);
    gsize length;

    if (strlen(text) != size) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Base64 data is not NUL terminated text"));
        return NULL;
    }
    if (strspn(text, alphabet) != size) {
        explicit_bzero(text, size);
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("Base64 data contains invalid characters"));
        return NULL;
    }
    uint8_t *plain = g_base64_decode(text, &length);
    explicit_bzero(text, size);
    return wiped_bytes(plain, length, length);
}

static GBytes *decrypt(VitBlockObjects *objects, GBytes *cipher, const char *keyid,
                       const char *iv_text, GError **error)
{
    g_autoptr(GBytes) key = vit_block_secret_lookup(objects, keyid, error);
    gsize size, iv_size;
    const void *data = g_bytes_get_data(cipher, &size);
    gcry_cipher_hd_t handle = NULL;

    if (!key) return NULL;
    if (g_bytes_get_size(key) != KEY_BYTES) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("Key should be %d bytes in length: secret '%s' has %zu"), KEY_BYTES, keyid,
                       (size_t)g_bytes_get_size(key));
        return NULL;
    }
    if (!iv_text) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("IV is required to decrypt secret"));
        return NULL;
    }
    g_autoptr(GBytes) iv = decode_base64(iv_text, strlen(iv_text), error);
    if (!iv) return NULL;
    const void *iv_data = g_bytes_get_data(iv, &iv_size);
    if (iv_size != BLOCK_BYTES) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("IV should be %d bytes in length not %zu"),
                       BLOCK_BYTES, (size_t)iv_size);
        return NULL;
    }
    if (size == 0 || size % BLOCK_BYTES) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("The encrypted secret has %zu bytes, not a multiple of %d"), (size_t)size,
                       BLOCK_BYTES);
        return NULL;
    }
    uint8_t *plain = g_malloc(size);
    gcry_check_version(NULL); /* the library's way to be initialised */
    gcry_error_t code = gcry_cipher_open(&handle, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 0);
    if (!code) code = gcry_cipher_setkey(handle, g_bytes_get_data(key, NULL), KEY_BYTES);
    if (!code) code = gcry_cipher_setiv(handle, iv_data, iv_size);
    if (!code) code = gcry_cipher_decrypt(handle, plain, size, data, size);
    gcry_cipher_close(handle);
    GBytes *result = NULL;
    if (code)
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Could not decrypt the secret: %s"),
                       gcry_strerror(code));
    else if (plain[size - 1] == 0 || plain[size - 1] > BLOCK_BYTES)
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("Incorrect number of padding bytes (%d) found on decrypted data"),
                       plain[size - 1]);
    else return wiped_bytes(plain, size - plain[size - 1], size);
    explicit_bzero(plain, size);
    g_free(plain);
    return result;
}

static bool finish(Secret *s, GBytes *given /* takes */, VitBlockArgs *args, GError **error)
{
    static const char *const formats[] = { "raw", "base64", NULL };
    g_autoptr(GBytes) bytes = given;
    const char *keyid = vit_block_args_str(args, "keyid"), *iv = vit_block_args_str(args, "iv");
    int format = 0;

    if (!vit_block_args_enum(args, "format", formats, &format, error)) return false;
    if (format == 1) {
        GBytes *decoded = decode_base64(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                                        error);
        if (!decoded) return false;
        g_bytes_unref(bytes);
        bytes = decoded;
    }
    if (keyid) {
        GBytes *plain = decrypt(s->parent.table, bytes, keyid, iv, error);
        if (!plain) return false;
        g_bytes_unref(bytes);
        bytes = plain;
    } else if (iv) {
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“iv” goes with “keyid”, the secret that decrypts this one"));
    }
    s->bytes = g_steal_pointer(&bytes);
    return true;
}

static bool secret_create(VitBlockObject *object, VitBlockArgs *args, GError **error)
{
    const char *data = vit_block_args_str(args, "data"), *file = vit_block_args_str(args, "file");
    bool loaded = true; /* an old way to say when; still written by some */

    if (data && file)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("'file' and 'data' are mutually exclusive"));
    if (!data && !file)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Either 'file' or 'data' must be provided"));
    if (!vit_block_args_bool(args, "loaded", &loaded, error)) return false;
    size_t size = data ? strlen(data) : 0;
    char *copy = NULL;
    if (data) {
        copy = g_strdup(data);
    } else {
        g_autoptr(GError) why = NULL;
        if (!g_file_get_contents(file, &copy, &size, &why))
            return vit_block_fail(error, VIT_BLOCK_ERROR_IO, _("Unable to read %s: %s"), file,
                                  why->message);
    }
    return finish((Secret *)object, wiped_bytes((uint8_t *)copy, size, size), args, error);
}

static bool keyring_create(VitBlockObject *object, VitBlockArgs *args, GError **error)
{
    uint64_t serial = 0;

    if (!vit_block_args_uint(args, "serial", INT32_MAX, &serial, error)) return false;
    if (serial == 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("'serial' parameter must be provided"));
    long size = syscall(SYS_keyctl, KEYCTL_READ_PAYLOAD, (long)serial, NULL, 0L, 0L);
    uint8_t *data = size >= 0 && size <= MAX_SECRET ? g_malloc0((size_t)size + 1) : NULL;
    long got = data ? syscall(SYS_keyctl, KEYCTL_READ_PAYLOAD, (long)serial, data, size, 0L) : -1;
    if (got < 0 || got > size) {
        int code = errno;
        g_free(data);
        return vit_block_fail(error, VIT_BLOCK_ERROR_IO,
                              _("Unable to read key 0x%x of the keyring: %s"), (unsigned)serial,
                              g_strerror(code));
    }
    return finish((Secret *)object, wiped_bytes(data, (size_t)got, (size_t)size), args, error);
}

static void secret_destroy(VitBlockObject *object)
{
    g_clear_pointer(&((Secret *)object)->bytes, g_bytes_unref);
}

const VitBlockObjectClass vit_block_secret_class = {
    .type = "secret",
    .instance_size = sizeof(Secret),
    .create = secret_create,
    .destroy = secret_destroy,
};

const VitBlockObjectClass vit_block_secret_keyring_class = {
    .type = "secret_keyring",
    .instance_size = sizeof(Secret),
    .create = keyring_create,
    .destroy = secret_destroy,
};

GBytes *vit_block_secret_lookup(VitBlockObjects *objects, const char *id, GError **error)
{
    g_autoptr(GError) why = NULL;
    VitBlockObject *object = vit_block_objects_use(objects, id, NULL, &why);
    GBytes *bytes = NULL;

    if (!object) {
        vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                       _("No secret with id '%s'; make it with --object secret,id=%s,file=PATH"),
                       id, id);
        return NULL;
    }
    if (object->klass->create == secret_create || object->klass->create == keyring_create)
        bytes = g_bytes_ref(((Secret *)object)->bytes);
    else
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Object with id '%s' is not a secret"),
                       id);
    vit_block_object_release(object);
    return bytes;
}

char *vit_block_secret_lookup_text(VitBlockObjects *objects, const char *id, GError **error)
{
    g_autoptr(GBytes) bytes = vit_block_secret_lookup(objects, id, error);
    gsize size = 0;

    if (!bytes) return NULL;
    const char *data = g_bytes_get_data(bytes, &size);
    if (size > 0 && !g_utf8_validate_len(data, size, NULL)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Data from secret %s is not valid UTF-8"),
                       id);
        return NULL;
    }
    char *text = g_malloc(size + 1);
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

void vit_block_secret_free_text(char *text)
{
    if (!text) return;
    explicit_bzero(text, strlen(text));
    g_free(text);
}
