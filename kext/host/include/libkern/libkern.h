/* The kernel's small C library: of it what is exported on every architecture, so no strcpy. */
#ifndef KPI_LIBKERN_H
#define KPI_LIBKERN_H

#include "../kpi/base.h"

void *memcpy(void *into, const void *from, size_t size);
void *memmove(void *into, const void *from, size_t size);
void *memset(void *into, int byte, size_t size);
int memcmp(const void *one, const void *other, size_t size);
void bzero(void *into, size_t size);
void bcopy(const void *from, void *into, size_t size);

size_t strlen(const char *text);
size_t strnlen(const char *text, size_t most);
int strcmp(const char *one, const char *other);
int strncmp(const char *one, const char *other, size_t most);
size_t strlcpy(char *into, const char *from, size_t size) __asm__("kext_host_strlcpy");
int snprintf(char *into, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Goes to the system's log. */
int printf(const char *format, ...) __asm__("kext_host_printf")
    __attribute__((format(printf, 1, 2)));

#ifndef MIN
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif

#endif
