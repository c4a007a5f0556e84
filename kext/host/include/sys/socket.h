/* Of sockets, what a kernel control meets: its family and the flags of send(2). */
#ifndef KPI_SOCKET_H
#define KPI_SOCKET_H

#include "../kpi/base.h"

#define AF_SYSTEM 32
#define PF_SYSTEM AF_SYSTEM
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define MSG_OOB 0x1
#define MSG_EOR 0x8
#define MSG_DONTWAIT 0x80

#endif
