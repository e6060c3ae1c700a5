/* wait.h - sleeping until the writer publishes.
 *
 * The wake word is a futex shared between processes (not FUTEX_PRIVATE). A waiter
 * samples it *before* it looks for its frame; arcly_wait then sleeps only if the
 * word still has that value, so a frame published in between is never slept
 * through (P4). Waiting works on a read-only mapping.
 */
#ifndef ARCLY_WAIT_H
#define ARCLY_WAIT_H

#include "ring.h"

static inline uint32_t arcly_wake_sample(const struct arcly_region *region) {
    return arcly_acquire_u32(&region->header->wake.word);
}

/* Sleep until the wake word is no longer `sampled`, or timeout_ns passed. Returns 0 (look again) or
 * -EINTR (a signal came). Spurious returns are allowed. */
int arcly_wait(const struct arcly_region *region, uint32_t sampled, int64_t timeout_ns);

/* Change the wake word and wake every waiter. */
void arcly_wake(const struct arcly_region *region);

/* Wake every waiter without a change of the word: for a reader's own process, which can't write it. A
 * waiter that had sampled but not yet slept misses this one; it looks again after its time slice. */
void arcly_nudge(const struct arcly_region *region);

#endif
