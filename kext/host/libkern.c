/* What libkern has and not every libc. */
#include <stddef.h>
#include <string.h>

size_t kext_host_strlcpy(char *into, const char *from, size_t size);

size_t kext_host_strlcpy(char *into, const char *from, size_t size)
{
    size_t length = strlen(from);
    if (size > 0) {
        size_t take = length < size - 1 ? length : size - 1;
        memcpy(into, from, take);
        into[take] = '\0';
    }
    return length;
}
