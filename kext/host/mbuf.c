/* mbuf_*: chains of pieces whose data are exactly as long as they claim, each piece counted.
 *
 * A freed piece's data are freed at once, which AddressSanitizer watches over; its header stays for
 * the next few thousand frees, marked as dead, so that a second free is told without it too. */
#include "mbuf.h"

#include "darwin_errno.h"
#include "panic.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LIVE 0x6d627566u
#define DEAD 0x44454144u
#define PIECE 4096
#define GRAVES 4096

struct __mbuf {
    atomic_uint state;
    int is_first;
    mbuf_t next;
    uint8_t *data;
    size_t size;
    size_t packet_size; /* of the first piece */
};

static atomic_ulong made, outstanding, buried;
static _Atomic(mbuf_t) graves[GRAVES];

unsigned long mbufs_outstanding(void)
{
    return atomic_load(&outstanding);
}

unsigned long mbufs_made(void)
{
    return atomic_load(&made);
}

void mbufs_forget(void)
{
    for (size_t i = 0; i < GRAVES; i++)
        free(atomic_exchange(&graves[i], NULL));
}

static size_t piece_size(void)
{
    const char *text = getenv("KEXT_HOST_PIECE");
    long size = text != NULL ? strtol(text, NULL, 10) : 0;
    return size > 0 ? (size_t)size : PIECE;
}

static mbuf_t make_piece(const uint8_t *data, size_t size)
{
    mbuf_t m = calloc(1, sizeof *m);
    uint8_t *copy = malloc(size);
    if (m == NULL || (copy == NULL && size > 0))
        panic("the host has no memory for an mbuf");
    if (size > 0)
        memcpy(copy, data, size);
    m->data = copy;
    m->size = size;
    atomic_store_explicit(&m->state, LIVE, memory_order_relaxed);
    atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&outstanding, 1, memory_order_relaxed);
    return m;
}

mbuf_t mbuf_packet(const void *data, size_t size)
{
    const uint8_t *from = data;
    size_t most = piece_size(), left = size;
    mbuf_t first = NULL, *end = &first;
    do {
        size_t take = left < most ? left : most;
        *end = make_piece(from, take);
        end = &(*end)->next;
        from += take;
        left -= take;
    } while (left > 0);
    first->is_first = 1;
    first->packet_size = size;
    return first;
}

static void check(const char *call, const mbuf_t m)
{
    if (m == NULL)
        panic("%s of no mbuf", call);
    unsigned state = atomic_load_explicit(&m->state, memory_order_relaxed);
    if (state != LIVE)
        panic("%s of %s", call, state == DEAD ? "an mbuf that was freed" : "what is no mbuf");
}

uint8_t *mbuf_flatten(mbuf_t m, size_t *size)
{
    *size = mbuf_pkthdr_len(m);
    uint8_t *flat = malloc(*size);
    if (flat == NULL && *size > 0)
        panic("the host has no memory for a packet");
    mbuf_copydata(m, 0, *size, flat);
    return flat;
}

size_t mbuf_pkthdr_len(const mbuf_t m)
{
    check("mbuf_pkthdr_len", m);
    if (!m->is_first)
        panic("mbuf_pkthdr_len of an mbuf that is not the first of its packet");
    return m->packet_size;
}

size_t mbuf_len(const mbuf_t m)
{
    check("mbuf_len", m);
    return m->size;
}

mbuf_t mbuf_next(const mbuf_t m)
{
    check("mbuf_next", m);
    return m->next;
}

void *mbuf_data(mbuf_t m)
{
    check("mbuf_data", m);
    return m->data;
}

errno_t mbuf_copydata(const mbuf_t m, size_t offset, size_t size, void *into)
{
    uint8_t *to = into;
    check("mbuf_copydata", m);
    mbuf_t piece = m;
    while (piece != NULL && offset > 0 && offset >= piece->size) {
        offset -= piece->size;
        piece = piece->next;
    }
    if (piece == NULL && offset > 0)
        return DARWIN_EINVAL;
    while (size > 0) {
        if (piece == NULL)
            return DARWIN_EINVAL;
        size_t take = piece->size - offset < size ? piece->size - offset : size;
        if (take > 0)
            memcpy(to, piece->data + offset, take);
        to += take;
        size -= take;
        offset = 0;
        piece = piece->next;
    }
    return 0;
}

/* Free a piece, and in its place the header of one that was freed long ago. */
static void bury(mbuf_t m)
{
    unsigned live = LIVE;
    if (!atomic_compare_exchange_strong_explicit(&m->state, &live, DEAD, memory_order_relaxed,
                                                 memory_order_relaxed))
        panic("mbuf_freem of %s", live == DEAD ? "an mbuf that was freed" : "what is no mbuf");
    free(m->data);
    m->data = NULL;
    atomic_fetch_sub_explicit(&outstanding, 1, memory_order_relaxed);
    unsigned long grave = atomic_fetch_add_explicit(&buried, 1, memory_order_relaxed) % GRAVES;
    free(atomic_exchange_explicit(&graves[grave], m, memory_order_acq_rel));
}

void mbuf_freem(mbuf_t m)
{
    while (m != NULL) {
        mbuf_t next = m->next;
        bury(m);
        m = next;
    }
}
