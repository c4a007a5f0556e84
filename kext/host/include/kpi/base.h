/* Types that the KPI headers beside this folder share.
 *
 * A kext is compiled with -nostdinc and sees nothing but these headers; the host's own sources
 * (KEXT_HOST) include some of them together with libc's, so the basic types come from there. */
#ifndef KPI_BASE_H
#define KPI_BASE_H

#ifdef KEXT_HOST

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#else

typedef __INT8_TYPE__ int8_t;
typedef __INT16_TYPE__ int16_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __INTPTR_TYPE__ intptr_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef __INTMAX_TYPE__ intmax_t;
typedef __UINTMAX_TYPE__ uintmax_t;
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __PTRDIFF_TYPE__ ssize_t;

typedef uint8_t u_int8_t;
typedef uint16_t u_int16_t;
typedef uint32_t u_int32_t;
typedef uint64_t u_int64_t;
typedef unsigned char u_char;
typedef unsigned short u_short;
typedef unsigned int u_int;
typedef unsigned long u_long;

typedef int32_t pid_t;
typedef uint32_t uid_t;
typedef uint32_t gid_t;
typedef long time_t;

#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

#define __BEGIN_DECLS
#define __END_DECLS
#define __unused __attribute__((unused))
#define __private_extern__ __attribute__((visibility("hidden")))

#endif

typedef int errno_t;
typedef int kern_return_t;
typedef int boolean_t;

#define KERN_SUCCESS 0
#define KERN_INVALID_ARGUMENT 4
#define KERN_FAILURE 5
#define KERN_RESOURCE_SHORTAGE 6

_Static_assert(sizeof(void *) == 8 && sizeof(long) == 8, "kexts are LP64");

#endif
