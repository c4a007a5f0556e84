/* Mutexes and the groups that they are counted in. */
#ifndef KPI_LOCKS_H
#define KPI_LOCKS_H

#include "../kpi/base.h"

typedef struct lck_grp lck_grp_t;
typedef struct lck_grp_attr lck_grp_attr_t;
typedef struct lck_attr lck_attr_t;
typedef struct lck_mtx lck_mtx_t;

#define LCK_GRP_NULL ((lck_grp_t *)0)
#define LCK_GRP_ATTR_NULL ((lck_grp_attr_t *)0)
#define LCK_ATTR_NULL ((lck_attr_t *)0)
#define LCK_MTX_NULL ((lck_mtx_t *)0)

lck_grp_t *lck_grp_alloc_init(const char *name, lck_grp_attr_t *attributes);
void lck_grp_free(lck_grp_t *group);
lck_mtx_t *lck_mtx_alloc_init(lck_grp_t *group, lck_attr_t *attributes);
void lck_mtx_free(lck_mtx_t *lock, lck_grp_t *group);
void lck_mtx_lock(lck_mtx_t *lock);
void lck_mtx_unlock(lck_mtx_t *lock);

#endif
