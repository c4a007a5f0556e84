/* The host's connection to the served simulated kernel.
 *
 * Both sides ask and answer in frames: u32 size, u32 kind, body; every body begins with the u32 tag
 * that its question chose.  kevmond/kernel/simulated/served_kext.py is the other side. */
#ifndef HOST_LINK_H
#define HOST_LINK_H

#include <stddef.h>
#include <stdint.h>

enum frame_kind {
    ASK_REGISTER = 0x10,
    ASK_DEREGISTER = 0x11,
    ASK_ENQUEUE = 0x12,
    ASK_SPACE = 0x13,
    ASK_VENDOR_FIND = 0x14,
    ASK_POST = 0x15,
    REPLY = 0x81,

    CALL_CONNECT = 0x20,
    CALL_DISCONNECT = 0x21,
    CALL_SEND = 0x22,
    CALL_SETOPT = 0x23,
    CALL_GETOPT = 0x24,
    RETURN = 0x91,
};

/* A question to the kernel: its body in two parts, and where the answer's body goes. */
struct question {
    enum frame_kind kind;
    const void *head;
    size_t head_size;
    const void *tail;
    size_t tail_size;
    void *answer;
    size_t answer_size; /* exactly so many bytes; else the kernel does not speak our protocol */
    /* Run by the reading thread when the answer is no error, before any frame that came later. */
    void (*arrived)(struct question *question);
    void *context;
};

/* Connect and become a kext host; -1, with the reason on standard error. */
int link_open(const char *path);

/* Read on a thread of its own; each call of a handler goes to `call`, which owns the body. */
void link_start(void (*call)(enum frame_kind kind, uint8_t *body, size_t size));

/* Ask and wait.  Any number of threads may; returns a Darwin errno or 0. */
int link_ask(struct question *question);

/* Answer a call: its tag, the handler's errno and unitinfo, then up to two parts of a body. */
void link_return(uint32_t tag, int error, uint64_t unitinfo, const void *head, size_t head_size,
                 const void *tail, size_t tail_size);

/* Hang up and end the reading thread. */
void link_close(void);

/* Exit code of a host whose kernel went away. */
#define EXIT_KERNEL_GONE 4

#endif
