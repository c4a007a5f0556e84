/* Time.  A tick is 125/3 nanoseconds, as on Apple silicon: who takes one for the other shows. */
#include <stdint.h>
#include <string.h>
#include <time.h>

/* The KPI's structures, whose names libc has taken. */
struct kpi_timeval {
    int64_t tv_sec;
    int32_t tv_usec;
};

void microtime(struct kpi_timeval *now);
void nanotime(struct timespec *now);
uint64_t mach_absolute_time(void);
void absolutetime_to_nanoseconds(uint64_t ticks, uint64_t *nanoseconds);

void nanotime(struct timespec *now)
{
    clock_gettime(CLOCK_REALTIME, now);
}

void microtime(struct kpi_timeval *now)
{
    struct timespec time;
    nanotime(&time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = (int32_t)(time.tv_nsec / 1000);
}

uint64_t mach_absolute_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 24000000 + (uint64_t)time.tv_nsec * 3 / 125;
}

void absolutetime_to_nanoseconds(uint64_t ticks, uint64_t *nanoseconds)
{
    *nanoseconds = ticks / 3 * 125 + ticks % 3 * 125 / 3;
}
