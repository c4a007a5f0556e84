/* A kext's code, in memory or not. */
#ifndef HOST_IMAGE_H
#define HOST_IMAGE_H

/* Map the kext at `path` and run its start function: -1 if it cannot be mapped (the reason is on
 * standard error), else what the function returned, a kern_return_t.  Only KERN_SUCCESS (0) leaves
 * it in memory. */
int image_load(const char *path);

/* Run its stop function; KERN_SUCCESS (0) takes it out of memory, anything else changes nothing. */
int image_unload(void);

int image_is_loaded(void);

/* "KERN_FAILURE" and so on. */
const char *image_result(int result);

#endif
