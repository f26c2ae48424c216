/* Holds src/memory.c, whose functions are renamed, against the C library: all short lengths, some long ones, and overlaps. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *own_memcpy(void *, const void *, size_t);
void *own_memmove(void *, const void *, size_t);
void *own_memset(void *, int, size_t);
int own_memcmp(const void *, const void *, size_t);
int own_bcmp(const void *, const void *, size_t);

#define SIZE 12000

static uint8_t own[SIZE], theirs[SIZE], other[SIZE];

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static void hold(int is_right, const char *name, size_t to, size_t from, size_t length)
{
    if (!is_right || memcmp(own, theirs, SIZE)) {
        printf("%s: to %zu from %zu length %zu\n", name, to, from, length);
        exit(1);
    }
}

static void try_at(size_t to, size_t from, size_t length)
{
    memmove(theirs + to, theirs + from, length);
    hold(own_memmove(own + to, own + from, length) == own + to, "memmove", to, from, length);
    memset(theirs + to, (int)from, length / 2);
    hold(own_memset(own + to, (int)from, length / 2) == own + to, "memset", to, from, length / 2);
    memcpy(theirs + to, other + from, length);
    hold(own_memcpy(own + to, other + from, length) == own + to, "memcpy", to, from, length);
    for (int differs = 0; differs < 2; differs++) {
        int found = own_memcmp(own + to, other + from, length);
        hold(sign(found) == sign(memcmp(own + to, other + from, length)), "memcmp", to, from, length);
        hold(!own_bcmp(own + to, other + from, length) == !found, "bcmp", to, from, length);
        if (length)
            other[from + (size_t)rand() % length] ^= (uint8_t)(1 + rand() % 255);
    }
}

int main(void)
{
    for (size_t at = 0; at < SIZE; at++) {
        own[at] = theirs[at] = (uint8_t)rand();
        other[at] = (uint8_t)rand();
    }
    for (size_t length = 0; length < 300; length++)
        for (size_t to = 0; to < 70; to += 1 + length / 100)
            try_at(1000 + to, 1000 + (size_t)rand() % 70, length);
    for (int round = 0; round < 5000; round++) {
        size_t length = (size_t)rand() % 5000, to = (size_t)rand() % 6000;
        try_at(to, round % 2 ? (size_t)rand() % 6000 : to + (size_t)rand() % 100, length);
    }
    return 0;
}
