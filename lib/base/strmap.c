/*
 * Open addressing with linear probing, at most 3/4 full. The hash multiplies 64-bit lanes to 128 bits and folds, with a key drawn
 * once per process, so that a hostile file cannot be made of names that collide. Nothing observable depends on the key.
 */
#include "base/strmap.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "edgellm.h"

static uint64_t hash_key[4];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
    static const uint64_t fallback[4] = {0x243f6a8885a308d3u, 0x13198a2e03707344u, 0xa4093822299f31d0u, 0x082efa98ec4e6c89u};
    if (getrandom(hash_key, sizeof hash_key, GRND_NONBLOCK) != (ssize_t)sizeof hash_key)
        memcpy(hash_key, fallback, sizeof hash_key);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    const wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Up to 8 bytes as a number, another for all others of this length; by loads of fixed sizes, for a call of memcpy costs more. */
static uint64_t lane(const char *p, size_t n)
{
    uint64_t v = 0;
    if (n >= 8) {
        memcpy(&v, p, 8);
    } else if (n >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        v = low | (uint64_t)high << 32;
    } else if (n > 0) {
        v = (uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << 8 | (uint64_t)(uint8_t)p[n - 1] << 16;
    }
    return v;
}

uint64_t el_strmap_hash(const char *key, size_t nbytes)
{
    (void)pthread_once(&key_once, draw_key);
    uint64_t h = fold(hash_key[0] ^ nbytes, hash_key[1]);
    while (nbytes > 16) {
        h = fold(lane(key, 8) ^ hash_key[2], lane(key + 8, 8) ^ hash_key[3] ^ h) + h;
        key += 16;
        nbytes -= 16;
    }
    const size_t first = nbytes < 8 ? nbytes : 8;
    h = fold(lane(key, first) ^ hash_key[2], lane(key + first, nbytes - first) ^ hash_key[3] ^ h);
    return fold(h ^ hash_key[0], hash_key[1]);
}

void el_strmap_init(struct el_strmap *m)
{
    (void)pthread_once(&key_once, draw_key);
    memset(m, 0, sizeof *m);
}

void el_strmap_release(struct el_strmap *m)
{
    el_free_aligned(m->slots);
    memset(m, 0, sizeof *m);
}

/* The slot that holds the key, or the free slot where it belongs. The table is never full. */
static struct el_strmap_slot *slot_of(struct el_strmap_slot *slots, size_t cap, const char *key, size_t nbytes, uint64_t hash)
{
    for (size_t i = hash & (cap - 1);; i = (i + 1) & (cap - 1)) {
        struct el_strmap_slot *const s = &slots[i];
        if (!s->key || (s->hash == hash && s->nbytes == nbytes && memcmp(s->key, key, nbytes) == 0))
            return s;
    }
}

/* A large table lies on huge pages: look-ups go all over it. */
static struct el_strmap_slot *new_slots(size_t cap)
{
    if (cap > SIZE_MAX / sizeof(struct el_strmap_slot))
        return NULL;
    struct el_strmap_slot *const slots = el_alloc_aligned(cap * sizeof *slots);
    if (slots)
        memset(slots, 0, cap * sizeof *slots);
    return slots;
}

/* To cap slots, a power of two. */
static bool grow(struct el_strmap *m, size_t cap)
{
    struct el_strmap_slot *const slots = new_slots(cap);
    if (!slots)
        return false;
    for (size_t i = 0; i < m->cap; i++) {
        const struct el_strmap_slot *const s = &m->slots[i];
        if (s->key)
            *slot_of(slots, cap, s->key, s->nbytes, s->hash) = *s;
    }
    el_free_aligned(m->slots);
    m->slots = slots;
    m->cap = cap;
    return true;
}

bool el_strmap_reserve(struct el_strmap *m, size_t n)
{
    size_t cap = m->cap ? m->cap : 16;
    while (n > cap / 4 * 3 && cap <= SIZE_MAX / 4)
        cap *= 2;
    return cap == m->cap || grow(m, cap);
}

bool el_strmap_add(struct el_strmap *m, const char *key, size_t nbytes, int64_t value, bool *existed)
{
    if (existed)
        *existed = false;
    if (m->count + 1 > m->cap / 4 * 3 && !grow(m, m->cap ? m->cap * 2 : 16))
        return false;
    const uint64_t hash = el_strmap_hash(key, nbytes);
    struct el_strmap_slot *const s = slot_of(m->slots, m->cap, key, nbytes, hash);
    if (s->key) {
        if (existed)
            *existed = true;
        return true;
    }
    *s = (struct el_strmap_slot){key, nbytes, hash, value};
    m->count++;
    return true;
}

int64_t el_strmap_get(const struct el_strmap *m, const char *key, size_t nbytes, int64_t missing)
{
    if (m->count == 0)
        return missing;
    const struct el_strmap_slot *const s = slot_of(m->slots, m->cap, key, nbytes, el_strmap_hash(key, nbytes));
    return s->key ? s->value : missing;
}
