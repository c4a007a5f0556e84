/* Packets, as the host makes them for a kext. */
#ifndef HOST_MBUF_H
#define HOST_MBUF_H

#include "include/sys/kpi_mbuf.h"

/* Cut `data` into a chain of pieces: 4096 bytes each as XNU does, or KEXT_HOST_PIECE. */
mbuf_t mbuf_packet(const void *data, size_t size);

/* Copy a whole chain into memory that the caller frees. */
uint8_t *mbuf_flatten(mbuf_t m, size_t *size);

/* Pieces not freed yet, and pieces ever made. */
unsigned long mbufs_outstanding(void);
unsigned long mbufs_made(void);

/* Forget the freed ones: at the very end. */
void mbufs_forget(void);

#endif
