/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/cryptor.c - see cryptor.h
 *
 * A cipher handle keeps the state of one message, so each thread at work takes one of a pool.  IV
 * kinds: plain and plain64 are the sector's number in little endian (32 and 64 bits, zeroes after
 * it); essiv is that, enciphered under the hash of the key. */
#include "block/luks/cryptor-private.h"

#include "block/driver.h"
#include "engine/core/fiber.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { INLINE_BYTES = 16 << 10, PIECE_BYTES = 128 << 10, MAX_PIECES = 8, MAX_BLOCK = 16 };

typedef struct Context {
    struct Context *next;
    gcry_cipher_hd_t cipher, essiv; /* owned; essiv NULL: another kind */
} Context;

struct VitCryptor {
    VitCryptSpec spec;
    uint8_t key[VIT_CRYPT_MAX_KEY];
    GMutex mutex;
    Context *pool; /* owned, not in use; guarded by mutex */
};

static void free_context(Context *c)
{
    gcry_cipher_close(c->cipher);
    gcry_cipher_close(c->essiv);
    g_free(c);
}

static gcry_error_t open_essiv(const VitCryptor *cryptor, Context *c)
{
    uint8_t digest[64];
    unsigned length = gcry_md_get_algo_dlen(cryptor->spec.iv_hash);
    int algorithm = vit_crypt_family_algorithm(cryptor->spec.family, length * 8);

    if (length > sizeof digest || algorithm == 0) return gcry_error(GPG_ERR_INV_KEYLEN);
    gcry_md_hash_buffer(cryptor->spec.iv_hash, digest, cryptor->key,
                        vit_crypt_spec_key_bytes(&cryptor->spec));
    gcry_error_t code = gcry_cipher_open(&c->essiv, algorithm, GCRY_CIPHER_MODE_ECB, 0);
    if (!code) code = gcry_cipher_setkey(c->essiv, digest, length);
    explicit_bzero(digest, sizeof digest);
    return code;
}

static Context *new_context(const VitCryptor *cryptor, gcry_error_t *code)
{
    const VitCryptSpec *spec = &cryptor->spec;
    Context *c = g_new0(Context, 1);

    *code = gcry_cipher_open(&c->cipher, vit_crypt_family_algorithm(spec->family, spec->key_bits),
                             spec->mode, 0);
    if (!*code) *code = gcry_cipher_setkey(c->cipher, cryptor->key, vit_crypt_spec_key_bytes(spec));
    /* Some keys are weak for some ciphers; a key that came from a header is used as it is. */
    if (gcry_err_code(*code) == GPG_ERR_WEAK_KEY) *code = 0;
    if (!*code && spec->iv == VIT_IV_ESSIV) *code = open_essiv(cryptor, c);
    if (!*code) return c;
    free_context(c);
    return NULL;
}

static Context *take_context(VitCryptor *cryptor)
{
    gcry_error_t code;

    g_mutex_lock(&cryptor->mutex);
    Context *c = cryptor->pool;
    if (c) cryptor->pool = c->next;
    g_mutex_unlock(&cryptor->mutex);
    return c ?: new_context(cryptor, &code);
}

static void give_context(VitCryptor *cryptor, Context *c)
{
    g_mutex_lock(&cryptor->mutex);
    c->next = cryptor->pool;
    cryptor->pool = c;
    g_mutex_unlock(&cryptor->mutex);
}

VitCryptor *vit_cryptor_new(const VitCryptSpec *spec, const uint8_t *key, GError **error)
{
    unsigned key_bytes = vit_crypt_spec_key_bytes(spec);
    gcry_error_t code;

    gcry_check_version(NULL);
    if (!spec->family || !vit_crypt_family_algorithm(spec->family, spec->key_bits) ||
        key_bytes > VIT_CRYPT_MAX_KEY) {
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("No %s cipher with key size %u available"),
                       spec->family ? spec->family->title : "such", key_bytes);
        return NULL;
    }
    if (spec->family->block != MAX_BLOCK && spec->mode == GCRY_CIPHER_MODE_XTS) {
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Unsupported cipher mode xts: %s has blocks of %u bytes"),
                       spec->family->title, spec->family->block);
        return NULL;
    }
    if (spec->iv == VIT_IV_ESSIV &&
        !vit_crypt_family_algorithm(spec->family, gcry_md_get_algo_dlen(spec->iv_hash) * 8)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("No %s cipher with key size %u available"), spec->family->title,
                       gcry_md_get_algo_dlen(spec->iv_hash));
        return NULL;
    }
    VitCryptor *cryptor = g_new0(VitCryptor, 1);
    cryptor->spec = *spec;
    memcpy(cryptor->key, key, key_bytes);
    g_mutex_init(&cryptor->mutex);
    cryptor->pool = new_context(cryptor, &code);
    if (cryptor->pool) return cryptor;
    vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("Cannot initialise the cipher %s: %s"),
                   spec->family->title, gcry_strerror(code));
    vit_cryptor_free(cryptor);
    return NULL;
}

void vit_cryptor_free(VitCryptor *cryptor)
{
    if (!cryptor) return;
    for (Context *c = cryptor->pool, *next; c; c = next) {
        next = c->next;
        free_context(c);
    }
    g_mutex_clear(&cryptor->mutex);
    explicit_bzero(cryptor->key, sizeof cryptor->key);
    g_free(cryptor);
}

/* ---- sectors --------------------------------------------------------------------------------- */

static gcry_error_t crypt_sector(const VitCryptSpec *spec, Context *c, bool encrypt,
                                 uint64_t number, uint8_t *to, const uint8_t *from)
{
    unsigned block = spec->family->block;
    uint8_t iv[MAX_BLOCK] = { 0 };
    uint64_t le = GUINT64_TO_LE(spec->iv == VIT_IV_PLAIN ? (uint32_t)number : number);
    gcry_error_t code = 0;

    memcpy(iv, &le, sizeof le);
    if (spec->iv == VIT_IV_ESSIV) code = gcry_cipher_encrypt(c->essiv, iv, block, NULL, 0);
    if (spec->mode == GCRY_CIPHER_MODE_CTR) code = code ?: gcry_cipher_setctr(c->cipher, iv, block);
    else if (spec->mode != GCRY_CIPHER_MODE_ECB)
        code = code ?: gcry_cipher_setiv(c->cipher, iv, block);
    if (code) return code;
    const uint8_t *in = from == to ? NULL : from;
    size_t in_size = in ? VIT_CRYPT_SECTOR : 0;
    return encrypt ? gcry_cipher_encrypt(c->cipher, to, VIT_CRYPT_SECTOR, in, in_size)
                   : gcry_cipher_decrypt(c->cipher, to, VIT_CRYPT_SECTOR, in, in_size);
}

typedef struct {
    VitCryptor *cryptor;
    bool encrypt;
    uint64_t position;
    const struct iovec *iov; /* borrowed */
    int niov;
    uint64_t skip, bytes;
    uint8_t *out; /* encrypting: where to; borrowed */
    int result;
} Piece;

/* A sector that lies in several segments goes by way of a buffer. */
static gcry_error_t crypt_scattered(const Piece *p, Context *c, uint64_t done)
{
    uint8_t buf[VIT_CRYPT_SECTOR];
    uint64_t number = (p->position + done) / VIT_CRYPT_SECTOR;

    vit_iov_to(p->iov, p->niov, p->skip + done, buf, sizeof buf);
    if (p->encrypt) return crypt_sector(&p->cryptor->spec, c, true, number, p->out + done, buf);
    gcry_error_t code = crypt_sector(&p->cryptor->spec, c, false, number, buf, buf);
    vit_iov_from(p->iov, p->niov, p->skip + done, buf, sizeof buf);
    return code;
}

static void run_piece(void *opaque)
{
    Piece *p = opaque;
    Context *c = take_context(p->cryptor);
    uint64_t done = 0, skip = p->skip;
    gcry_error_t code = 0;
    int i = 0;

    if (!c) {
        p->result = -ENOMEM;
        return;
    }
    while (done < p->bytes && !code) {
        while (i < p->niov && skip >= p->iov[i].iov_len) skip -= p->iov[i++].iov_len;
        if (i == p->niov) break;
        if (p->iov[i].iov_len - skip < VIT_CRYPT_SECTOR) {
            code = crypt_scattered(p, c, done);
        } else {
            uint8_t *data = (uint8_t *)p->iov[i].iov_base + skip;
            code = crypt_sector(&p->cryptor->spec, c, p->encrypt,
                                (p->position + done) / VIT_CRYPT_SECTOR,
                                p->encrypt ? p->out + done : data, data);
        }
        done += VIT_CRYPT_SECTOR;
        skip += VIT_CRYPT_SECTOR;
    }
    give_context(p->cryptor, c);
    p->result = code || done < p->bytes ? -EIO : 0;
}

int vit_cryptor_apply(VitCryptor *cryptor, bool encrypt, uint64_t position, uint8_t *data,
                      size_t bytes)
{
    struct iovec iov = { data, bytes };
    Piece piece = { .cryptor = cryptor,
                    .encrypt = encrypt,
                    .position = position,
                    .iov = &iov,
                    .niov = 1,
                    .bytes = bytes,
                    .out = data };

    run_piece(&piece);
    return piece.result;
}

/* ---- several workers at once ----------------------------------------------------------------- */

typedef struct {
    VitIoThread *thread;
    VitFiber *waiter;
    unsigned left;
} Group;

typedef struct {
    Piece piece;
    Group *group; /* borrowed: lives on the stack of who waits */
} Share;

static void share_fiber(void *opaque)
{
    Share *s = opaque;

    vit_fiber_offload(s->group->thread, run_piece, &s->piece);
    if (--s->group->left == 0) vit_fiber_wake(s->group->waiter);
}

static int run_all(const Piece *whole, VitIoThread *thread)
{
    Share shares[MAX_PIECES];
    unsigned count = (unsigned)CLAMP(whole->bytes / PIECE_BYTES, 1,
                                     MIN(g_get_num_processors(), MAX_PIECES));
    uint64_t each = (whole->bytes / count + VIT_CRYPT_SECTOR - 1) &
                    ~(uint64_t)(VIT_CRYPT_SECTOR - 1);
    Group group = { .thread = thread, .waiter = vit_fiber_self(thread) };
    int result = 0;

    if (whole->bytes <= INLINE_BYTES) {
        Piece piece = *whole;
        run_piece(&piece);
        return piece.result;
    }
    for (uint64_t at = 0; at < whole->bytes; at += each, group.left++) {
        Share *s = &shares[group.left];
        *s = (Share){ *whole, &group };
        s->piece.position += at;
        s->piece.skip += at;
        s->piece.bytes = MIN(each, whole->bytes - at);
        if (s->piece.out) s->piece.out += at;
    }
    count = group.left;
    for (unsigned i = 1; i < count; i++) vit_fiber_start(thread, share_fiber, &shares[i]);
    vit_fiber_offload(thread, run_piece, &shares[0].piece);
    group.left--;
    while (group.left > 0) vit_fiber_yield(thread);
    for (unsigned i = 0; i < count; i++) result = shares[i].piece.result ?: result;
    return result;
}

int vit_co_cryptor_decrypt(VitCryptor *cryptor, VitIoThread *thread, uint64_t position,
                           const struct iovec *iov, int niov, uint64_t skip, uint64_t bytes)
{
    Piece piece = { .cryptor = cryptor,
                    .position = position,
                    .iov = iov,
                    .niov = niov,
                    .skip = skip,
                    .bytes = bytes };

    return run_all(&piece, thread);
}

int vit_co_cryptor_encrypt(VitCryptor *cryptor, VitIoThread *thread, uint64_t position,
                           const struct iovec *iov, int niov, uint64_t skip, uint8_t *out,
                           uint64_t bytes)
{
    Piece piece = { .cryptor = cryptor,
                    .encrypt = true,
                    .position = position,
                    .iov = iov,
                    .niov = niov,
                    .skip = skip,
                    .bytes = bytes,
                    .out = out };

    return run_all(&piece, thread);
}
