/* What the host asks of the locks it gives to a kext. */
#ifndef HOST_LOCK_H
#define HOST_LOCK_H

/* Locks and groups not freed yet, and locks that the calling thread holds. */
unsigned locks_outstanding(void);
unsigned lock_groups_outstanding(void);
unsigned locks_held(void);

#endif
