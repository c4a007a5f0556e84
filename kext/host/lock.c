/* lck_*: mutexes that panic where a kernel's are misused.
 *
 * A freed lock or group stays in memory, marked as dead, so that a late use of it is told from any
 * other.  What the checks look at is atomic and ordered by nothing: ThreadSanitizer must see the
 * order that the kext's own locking gives, and no more. */
#include "lock.h"

#include "include/kern/locks.h"
#include "panic.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define LIVE 0x4c4f434bu
#define DEAD 0x44454144u

struct lck_grp {
    atomic_uint state;
    atomic_uint locks;
    struct lck_grp *next;
};

struct lck_mtx {
    atomic_uint state;
    _Atomic(uintptr_t) owner;
    pthread_mutex_t mutex;
    lck_grp_t *group;
    struct lck_mtx *next;
};

static _Atomic(lck_grp_t *) dead_groups;
static _Atomic(lck_mtx_t *) dead_locks;
static atomic_uint outstanding_groups, outstanding_locks;

static _Thread_local unsigned held;

/* This thread, as an owner. */
static uintptr_t self(void)
{
    return (uintptr_t)&held;
}

unsigned locks_outstanding(void)
{
    return atomic_load(&outstanding_locks);
}

unsigned lock_groups_outstanding(void)
{
    return atomic_load(&outstanding_groups);
}

unsigned locks_held(void)
{
    return held;
}

static void check_group(const char *call, lck_grp_t *group)
{
    if (group == NULL)
        panic("%s without a lock group", call);
    if (atomic_load_explicit(&group->state, memory_order_relaxed) != LIVE)
        panic("%s with a lock group that was freed", call);
}

static void check_lock(const char *call, lck_mtx_t *lock)
{
    if (lock == NULL)
        panic("%s of no lock", call);
    unsigned state = atomic_load_explicit(&lock->state, memory_order_relaxed);
    if (state != LIVE)
        panic("%s of %s", call, state == DEAD ? "a lock that was freed" : "what is no lock");
}

lck_grp_t *lck_grp_alloc_init(const char *name, lck_grp_attr_t *attributes)
{
    (void)attributes;
    if (name == NULL)
        panic("lck_grp_alloc_init without a name");
    lck_grp_t *group = calloc(1, sizeof *group);
    if (group == NULL)
        panic("the host has no memory for a lock group");
    atomic_store(&group->state, LIVE);
    atomic_fetch_add(&outstanding_groups, 1);
    return group;
}

void lck_grp_free(lck_grp_t *group)
{
    check_group("lck_grp_free", group);
    if (atomic_load(&group->locks) != 0)
        panic("lck_grp_free of a group that has locks");
    atomic_store(&group->state, DEAD);
    atomic_fetch_sub(&outstanding_groups, 1);
    group->next = atomic_load(&dead_groups);
    while (!atomic_compare_exchange_weak(&dead_groups, &group->next, group))
        ;
}

lck_mtx_t *lck_mtx_alloc_init(lck_grp_t *group, lck_attr_t *attributes)
{
    (void)attributes;
    check_group("lck_mtx_alloc_init", group);
    lck_mtx_t *lock = calloc(1, sizeof *lock);
    if (lock == NULL)
        panic("the host has no memory for a lock");
    pthread_mutex_init(&lock->mutex, NULL);
    lock->group = group;
    atomic_store(&lock->state, LIVE);
    atomic_fetch_add(&group->locks, 1);
    atomic_fetch_add(&outstanding_locks, 1);
    return lock;
}

void lck_mtx_free(lck_mtx_t *lock, lck_grp_t *group)
{
    check_lock("lck_mtx_free", lock);
    check_group("lck_mtx_free", group);
    if (lock->group != group)
        panic("lck_mtx_free with a group that is not the lock's");
    if (atomic_load(&lock->owner) != 0)
        panic("lck_mtx_free of a lock that is held");
    atomic_store(&lock->state, DEAD);
    atomic_fetch_sub(&group->locks, 1);
    atomic_fetch_sub(&outstanding_locks, 1);
    lock->next = atomic_load(&dead_locks);
    while (!atomic_compare_exchange_weak(&dead_locks, &lock->next, lock))
        ;
}

void lck_mtx_lock(lck_mtx_t *lock)
{
    check_lock("lck_mtx_lock", lock);
    if (atomic_load_explicit(&lock->owner, memory_order_relaxed) == self())
        panic("lck_mtx_lock of a lock that this thread holds already");
    pthread_mutex_lock(&lock->mutex);
    check_lock("lck_mtx_lock", lock);
    atomic_store_explicit(&lock->owner, self(), memory_order_relaxed);
    held++;
}

void lck_mtx_unlock(lck_mtx_t *lock)
{
    check_lock("lck_mtx_unlock", lock);
    if (atomic_load_explicit(&lock->owner, memory_order_relaxed) != self())
        panic("lck_mtx_unlock of a lock that this thread does not hold");
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    held--;
    pthread_mutex_unlock(&lock->mutex);
}
