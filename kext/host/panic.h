/* How the host stops where a kernel would panic. */
#ifndef HOST_PANIC_H
#define HOST_PANIC_H

/* Print "panic: ..." on both streams and abort. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print one line on standard output, where the host's driver reads. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
