/* The unified log.  Formats may say %{public}s, which is why the compiler does not check them. */
#ifndef KPI_OS_LOG_H
#define KPI_OS_LOG_H

#include "../kpi/base.h"

typedef struct os_log_s *os_log_t;

#define OS_LOG_DEFAULT ((os_log_t)0)

#define OS_LOG_TYPE_DEFAULT 0x00
#define OS_LOG_TYPE_INFO 0x01
#define OS_LOG_TYPE_DEBUG 0x02
#define OS_LOG_TYPE_ERROR 0x10
#define OS_LOG_TYPE_FAULT 0x11

void kext_host_os_log(os_log_t log, int type, const char *format, ...);

#define os_log(log, ...) kext_host_os_log((log), OS_LOG_TYPE_DEFAULT, __VA_ARGS__)
#define os_log_info(log, ...) kext_host_os_log((log), OS_LOG_TYPE_INFO, __VA_ARGS__)
#define os_log_debug(log, ...) kext_host_os_log((log), OS_LOG_TYPE_DEBUG, __VA_ARGS__)
#define os_log_error(log, ...) kext_host_os_log((log), OS_LOG_TYPE_ERROR, __VA_ARGS__)
#define os_log_fault(log, ...) kext_host_os_log((log), OS_LOG_TYPE_FAULT, __VA_ARGS__)

#endif
