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

/* While frames come fast, the call that wakes costs the writer more than the frame, and finds nobody asleep or
 * everybody about to be woken by the next. So the writer leaves it out for frame k when less than ARCLY_BRISK_NS
 * passed between frame k - ARCLY_BRISK_FRAMES and a look at the clock *after* it changed the word (P6); and a reader
 * that sees as many frames within twice that time sleeps for ARCLY_NAP_NS at most, then looks again. Whoever sleeps
 * for longer found the last frames older than that, so every change of the word it can sleep through wakes it: the
 * argument stands in shm_layout.md, section 11. Four frames in 50 us are 80,000 a second: media never come so fast but in
 * a burst, of which the first frames wake.
 * The argument rests on clocks that agree. Should they not, a reader of a stream that flows looks again after
 * ARCLY_DOZE_NS all the same: longer than pictures are apart, so that where all is well it costs nothing. */
enum { ARCLY_BRISK_NS = 50000, ARCLY_NAP_NS = 20000, ARCLY_DOZE_NS = 50000000 };

/* Sleep until the wake word is no longer `sampled`, or timeout_ns passed; for ARCLY_NAP_NS at most while frames come
 * fast. Returns 0 (look again) or -EINTR (a signal came). Spurious returns are allowed. */
int arcly_wait(const struct arcly_region *region, uint32_t sampled, int64_t timeout_ns);

/* How long one that sampled the wake word and found nothing may sleep by other means than arcly_wait: timeout_ns, or
 * ARCLY_NAP_NS while frames come fast. */
int64_t arcly_patience(const struct arcly_region *region, int64_t timeout_ns);

/* Look at the wake word without sleeping until it is no longer `sampled` (true) or longest_ns passed. Burns the
 * processor: for whoever has one to spare and can't wait for the kernel. */
bool arcly_spin(const struct arcly_region *region, uint32_t sampled, int64_t longest_ns);

/* The monotonic clock, ns. */
uint64_t arcly_now(void);

/* Change the wake word and wake every waiter. */
void arcly_wake(const struct arcly_region *region);

/* Change the wake word, and wake every waiter unless frames come fast: before_ns is when the frame
 * ARCLY_BRISK_FRAMES ago was published, 0 where there was none. */
void arcly_wake_unless_brisk(const struct arcly_region *region, uint64_t before_ns);

/* Wake every waiter without a change of the word: for a reader's own process, which can't write it. A
 * waiter that had sampled but not yet slept misses this one; it looks again after its time slice. */
void arcly_nudge(const struct arcly_region *region);

#endif
