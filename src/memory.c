/* memcpy, memmove, memset, memcmp and bcmp of the static binary. Those of musl move and compare bytes or words: five times slower with the short
 * fields of records, and a sixth of all CPU with OpenSearch.
 *
 * Up to 16 bytes in two accesses that may overlap, up to 128 in two, four or eight of 16 bytes, then in a loop of 64. All of a short one, and
 * the first or the last 64 bytes of a long one, is loaded before anything is stored: so source and target may overlap. The compiler makes SSE2
 * or NEON of it. */

#include <stddef.h>
#include <stdint.h>

typedef uint8_t v16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t u64 __attribute__((aligned(1), may_alias));
typedef uint32_t u32 __attribute__((aligned(1), may_alias));
typedef uint16_t u16 __attribute__((aligned(1), may_alias));

#define LOAD(type, p) (*(const type *)(p))
#define STORE(type, p, v) (*(type *)(p) = (v))

/* From here on the processor's own instruction is quicker, on x86. */
#define LONG 2048

static inline __attribute__((always_inline)) void *up_to_128(uint8_t *d, const uint8_t *s, size_t n)
{
    uint8_t *de = d + n;
    const uint8_t *se = s + n;
    if (n > 16) {
        v16 a = LOAD(v16, s), z = LOAD(v16, se - 16);
        if (n > 32) {
            v16 b = LOAD(v16, s + 16), y = LOAD(v16, se - 32);
            if (n > 64) {
                v16 c = LOAD(v16, s + 32), x = LOAD(v16, se - 48), e = LOAD(v16, s + 48), w = LOAD(v16, se - 64);
                STORE(v16, d + 32, c);
                STORE(v16, d + 48, e);
                STORE(v16, de - 64, w);
                STORE(v16, de - 48, x);
            }
            STORE(v16, d + 16, b);
            STORE(v16, de - 32, y);
        }
        STORE(v16, d, a);
        STORE(v16, de - 16, z);
    } else if (n >= 8) {
        uint64_t a = LOAD(u64, s), z = LOAD(u64, se - 8);
        STORE(u64, d, a);
        STORE(u64, de - 8, z);
    } else if (n >= 4) {
        uint32_t a = LOAD(u32, s), z = LOAD(u32, se - 4);
        STORE(u32, d, a);
        STORE(u32, de - 4, z);
    } else if (n > 1) {
        uint16_t a = LOAD(u16, s), z = LOAD(u16, se - 2);
        STORE(u16, d, a);
        STORE(u16, de - 2, z);
    } else if (n) {
        *d = *s;
    }
    return d;
}

static inline __attribute__((always_inline)) void move_64(uint8_t *d, const uint8_t *s)
{
    v16 a = LOAD(v16, s), b = LOAD(v16, s + 16), c = LOAD(v16, s + 32), e = LOAD(v16, s + 48);
    STORE(v16, d, a);
    STORE(v16, d + 16, b);
    STORE(v16, d + 32, c);
    STORE(v16, d + 48, e);
}

static __attribute__((noinline)) void *forwards(uint8_t *d, const uint8_t *s, size_t n)
{
    void *start = d;
    uint8_t *de = d + n;
    const uint8_t *se = s + n;
    v16 w = LOAD(v16, se - 64), x = LOAD(v16, se - 48), y = LOAD(v16, se - 32), z = LOAD(v16, se - 16);
    for (; n > 64; n -= 64, d += 64, s += 64)
        move_64(d, s);
    STORE(v16, de - 64, w);
    STORE(v16, de - 48, x);
    STORE(v16, de - 32, y);
    STORE(v16, de - 16, z);
    return start;
}

static __attribute__((noinline)) void *backwards(uint8_t *d, const uint8_t *s, size_t n)
{
    v16 a = LOAD(v16, s), b = LOAD(v16, s + 16), c = LOAD(v16, s + 32), e = LOAD(v16, s + 48);
    for (; n > 64; n -= 64)
        move_64(d + n - 64, s + n - 64);
    STORE(v16, d, a);
    STORE(v16, d + 16, b);
    STORE(v16, d + 32, c);
    STORE(v16, d + 48, e);
    return d;
}

/* Where they do not overlap. */
static inline __attribute__((always_inline)) void *apart(uint8_t *d, const uint8_t *s, size_t n)
{
#ifdef __x86_64__
    if (n >= LONG) {
        void *start = d;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
        return start;
    }
#endif
    return forwards(d, s, n);
}

void *memcpy(void *restrict d, const void *restrict s, size_t n)
{
    return n <= 128 ? up_to_128(d, s, n) : apart(d, s, n);
}

void *memmove(void *d, const void *s, size_t n)
{
    if (n <= 128)
        return up_to_128(d, s, n);
    if ((uintptr_t)d - (uintptr_t)s < n)
        return backwards(d, s, n);
    return (uintptr_t)s - (uintptr_t)d < n ? forwards(d, s, n) : apart(d, s, n);
}

static __attribute__((noinline)) void *fill(uint8_t *d, v16 v, size_t n)
{
    void *start = d;
    uint8_t *de = d + n;
#ifdef __x86_64__
    if (n >= LONG) {
        __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(v[0]) : "memory");
        return start;
    }
#endif
    for (; n > 64; n -= 64, d += 64) {
        STORE(v16, d, v);
        STORE(v16, d + 16, v);
        STORE(v16, d + 32, v);
        STORE(v16, d + 48, v);
    }
    STORE(v16, de - 64, v);
    STORE(v16, de - 48, v);
    STORE(v16, de - 32, v);
    STORE(v16, de - 16, v);
    return start;
}

void *memset(void *start, int c, size_t n)
{
    uint8_t *d = start, *de = d + n;
    if (n >= 16) {
        v16 v = (v16){0} + (uint8_t)c;
        if (n > 64)
            return fill(d, v, n);
        STORE(v16, d, v);
        STORE(v16, de - 16, v);
        if (n > 32) {
            STORE(v16, d + 16, v);
            STORE(v16, de - 32, v);
        }
        return start;
    }
    uint64_t v = (uint64_t)0x0101010101010101 * (uint8_t)c;
    if (n >= 8) {
        STORE(u64, d, v);
        STORE(u64, de - 8, v);
    } else if (n >= 4) {
        STORE(u32, d, v);
        STORE(u32, de - 4, v);
    } else if (n > 1) {
        STORE(u16, d, v);
        STORE(u16, de - 2, v);
    } else if (n) {
        *d = c;
    }
    return start;
}

static inline __attribute__((always_inline)) uint64_t ordered(uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap64(v);
#else
    return v;
#endif
}

static inline __attribute__((always_inline)) int order_of(uint64_t a, uint64_t b)
{
    a = ordered(a);
    b = ordered(b);
    return (a > b) - (a < b);
}

static inline __attribute__((always_inline)) int differ_32(const uint8_t *l, const uint8_t *r)
{
    v16 d = (LOAD(v16, l) ^ LOAD(v16, r)) | (LOAD(v16, l + 16) ^ LOAD(v16, r + 16));
    uint64_t halves[2];
    __builtin_memcpy(halves, &d, sizeof d);
    return (halves[0] | halves[1]) != 0;
}

int memcmp(const void *left, const void *right, size_t n)
{
    const uint8_t *l = left, *r = right;
    if (n < 8) {
        for (; n; n--, l++, r++)
            if (*l != *r)
                return *l - *r;
        return 0;
    }
    for (; n > 32 && !differ_32(l, r); n -= 32, l += 32, r += 32)
        ;
    for (; n > 8; n -= 8, l += 8, r += 8)
        if (LOAD(u64, l) != LOAD(u64, r))
            return order_of(LOAD(u64, l), LOAD(u64, r));
    return order_of(LOAD(u64, l + n - 8), LOAD(u64, r + n - 8));
}

/* Are they different? */
int bcmp(const void *left, const void *right, size_t n)
{
    const uint8_t *l = left, *r = right;
    for (; n > 32; n -= 32, l += 32, r += 32)
        if (differ_32(l, r))
            return 1;
    if (n >= 16) {
        if ((LOAD(u64, l) ^ LOAD(u64, r)) | (LOAD(u64, l + 8) ^ LOAD(u64, r + 8)))
            return 1;
        l += n - 16, r += n - 16;
        return ((LOAD(u64, l) ^ LOAD(u64, r)) | (LOAD(u64, l + 8) ^ LOAD(u64, r + 8))) != 0;
    }
    if (n >= 8)
        return ((LOAD(u64, l) ^ LOAD(u64, r)) | (LOAD(u64, l + n - 8) ^ LOAD(u64, r + n - 8))) != 0;
    if (n >= 4)
        return ((LOAD(u32, l) ^ LOAD(u32, r)) | (LOAD(u32, l + n - 4) ^ LOAD(u32, r + n - 4))) != 0;
    if (n > 1)
        return ((LOAD(u16, l) ^ LOAD(u16, r)) | (LOAD(u16, l + n - 2) ^ LOAD(u16, r + n - 2))) != 0;
    return n && *l != *r;
}
