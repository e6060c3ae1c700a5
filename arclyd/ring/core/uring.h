/* uring.h - waiting for the wake word by a descriptor.
 *
 * An event loop sleeps on descriptors, the ring wakes a futex. Since Linux 6.7 an io_uring can wait for a futex, and
 * its descriptor can be polled: one sleep and one wake-up. A thread that sleeps on the futex and tells the loop takes
 * two, and twice the time; but many containers forbid io_uring, so whoever uses this must do without where open fails.
 *
 * One wait at a time. Not for use from several threads, nor in a forked child.
 */
#ifndef ARCLY_URING_H
#define ARCLY_URING_H

#include "ring.h"

struct arcly_uring {
    int fd; /* readable while a completion is there that was not taken */
    bool pending;
    struct {
        int64_t seconds, ns; /* struct __kernel_timespec */
    } timeout;
    void *rings, *entries;
    size_t rings_size, entries_size;
    arcly_u32 *submit_tail, *done_head, *done_tail;
    uint32_t *submit_order;
    uint32_t submit_mask, done_mask, done_offset;
};

/* Make one. 0, or a negative errno: the kernel has none, forbids it, or can't wait for a futex with it (-ENOSYS). */
int arcly_uring_open(struct arcly_uring *uring);

/* Make fd readable once the wake word is no longer `sampled`, somebody woke its waiters, or timeout_ns passed. Does
 * nothing while an earlier wait is pending. 0 or a negative errno. */
int arcly_uring_wait(struct arcly_uring *uring, const struct arcly_region *region, uint32_t sampled, int64_t timeout_ns);

/* Make fd unreadable again; true: the wait is over. */
bool arcly_uring_take(struct arcly_uring *uring);

/* Give it back; in a forked child, where only the descriptor is one's own, `forked`. */
void arcly_uring_close(struct arcly_uring *uring, bool forked);

#endif
