/* Packets: chains of pieces, of which a kext knows nothing but what these functions tell. */
#ifndef KPI_MBUF_H
#define KPI_MBUF_H

#include "../kpi/base.h"

typedef struct __mbuf *mbuf_t;

size_t mbuf_pkthdr_len(const mbuf_t m); /* bytes of the whole chain */
size_t mbuf_len(const mbuf_t m);        /* bytes of this piece */
mbuf_t mbuf_next(const mbuf_t m);
void *mbuf_data(mbuf_t m);
errno_t mbuf_copydata(const mbuf_t m, size_t offset, size_t size, void *into);
void mbuf_freem(mbuf_t m); /* the whole chain; NULL is fine */

#endif
