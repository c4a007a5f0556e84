/* Darwin's errno numbers that the host itself gives to a kext; sys/errno.h for kexts has them all. */
#ifndef HOST_DARWIN_ERRNO_H
#define HOST_DARWIN_ERRNO_H

enum {
    DARWIN_EIO = 5,
    DARWIN_ENOMEM = 12,
    DARWIN_EINVAL = 22,
    DARWIN_EAGAIN = 35,
    DARWIN_ENOBUFS = 55,
};

#endif
