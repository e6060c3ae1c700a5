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
 * everybody about to be woken by the next. So the writer promises, in brisk_until_ns, that frames come fast for the next
 * ARCLY_BRISK_NS; whoever wants to sleep before that time is over naps for ARCLY_NAP_NS, then looks again. The writer
 * leaves the call out for a frame if, by a look at the clock *after* it changed the word (P6), ARCLY_SKEW_NS of what was
 * promised *before* that frame are still to come. That nobody sleeps through a frame is argued in shm_layout.md,
 * section 11.
 * Both times are for one reader, and as many times as long for as many, up to ARCLY_CROWD: many that look often keep the
 * writer from its processor, and then it comes back after its promise is over, and has to wake them all.
 * Frames come fast from the ARCLY_BRISK_FRAMES-th on that began less than ARCLY_APART_NS after the one before, not
 * counting the call: to wake many takes so long that frames would never come fast. Media do so in bursts only, of which
 * the first frames wake; and a large frame takes long enough to be worth a call.
 * The argument rests on clocks that agree. Should they not, a reader of a stream that flows looks again after
 * ARCLY_DOZE_NS all the same: longer than pictures are apart, so that where all is well it costs nothing. */
enum {
    ARCLY_BRISK_FRAMES = 4,
    ARCLY_APART_NS = 40000,
    ARCLY_BRISK_NS = 200000,
    ARCLY_SKEW_NS = 50000,
    ARCLY_NAP_NS = 20000,
    ARCLY_DOZE_NS = 50000000,
    ARCLY_CROWD = 64
};

/* How many readers there are, 1 to ARCLY_CROWD. */
static inline uint32_t arcly_crowd(const struct arcly_region *region) {
    const uint32_t readers = arcly_load(region->header->daemon.subscribers);
    return readers < 1 ? 1 : readers < ARCLY_CROWD ? readers : ARCLY_CROWD;
}

/* Sleep until the wake word is no longer `sampled`, or timeout_ns passed; for a nap at most while frames come fast. Returns 0 (look again) or -EINTR (a signal came). Spurious returns are allowed. */
int arcly_wait(const struct arcly_region *region, uint32_t sampled, int64_t timeout_ns);

/* How long one that sampled the wake word and found nothing may sleep by other means than arcly_wait: timeout_ns, or
 * a nap while frames come fast. */
int64_t arcly_patience(const struct arcly_region *region, int64_t timeout_ns);

/* Look at the wake word without sleeping until it is no longer `sampled` (true) or longest_ns passed. Burns the
 * processor: for whoever has one to spare and can't wait for the kernel. */
bool arcly_spin(const struct arcly_region *region, uint32_t sampled, int64_t longest_ns);

/* The monotonic clock, ns. */
uint64_t arcly_now(void);

/* Change the wake word and wake every waiter. */
void arcly_wake(const struct arcly_region *region);

/* Change the wake word, and wake every waiter unless this is well before promised_ns, the brisk_until_ns that was stored
 * before the word changed last (0: none). Returns how long waking took, ns. */
uint64_t arcly_wake_unless_brisk(const struct arcly_region *region, uint64_t promised_ns);

/* Wake every waiter without a change of the word: for a reader's own process, which can't write it. A
 * waiter that had sampled but not yet slept misses this one; it looks again after its time slice. */
void arcly_nudge(const struct arcly_region *region);

#endif
