/* printf and os_log: the system's log is standard error. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE 1024

struct os_log_s;

/* What the KPI headers declare under these names; none of libc's must be hidden. */
int kext_host_printf(const char *format, ...);
void kext_host_os_log(struct os_log_s *log, int type, const char *format, ...);

static int write_line(const char *prefix, const char *format, va_list arguments)
{
    char line[LINE];
    int start = snprintf(line, sizeof line, "%s", prefix);
    int size = vsnprintf(line + start, sizeof line - (size_t)start - 1, format, arguments);
    size_t end = strnlen(line, sizeof line - 1);
    if (end == 0 || line[end - 1] != '\n')
        line[end++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, end);
    (void)written;
    return size;
}

int kext_host_printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = write_line("kernel: ", format, arguments);
    va_end(arguments);
    return size;
}

/* Copy a format without the words in braces behind a percent sign: "%{public}s" is "%s". */
static void strip(char *into, size_t size, const char *format)
{
    char *end = into + size - 1;
    while (*format != '\0' && into < end) {
        *into++ = *format;
        const char *brace = *format++ == '%' && *format == '{' ? strchr(format, '}') : NULL;
        if (brace != NULL)
            format = brace + 1;
    }
    *into = '\0';
}

void kext_host_os_log(struct os_log_s *log, int type, const char *format, ...)
{
    char plain[LINE];
    va_list arguments;
    (void)log;
    strip(plain, sizeof plain, format);
    va_start(arguments, format);
    write_line((type & 0x10) != 0 ? "log: error: " : "log: ", plain, arguments);
    va_end(arguments);
}
