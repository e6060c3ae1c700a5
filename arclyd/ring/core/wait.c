#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long futex(const arcly_u32 *word, int op, uint32_t value, const struct timespec *timeout) {
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/* Whether the writer may leave out the call that wakes (P6). Much farther ahead than it ever promises means nothing; a
 * little farther, that its processor's clock is ahead of this one's. */
static bool brisk(const struct arcly_region *region) {
    const uint64_t until_ns = arcly_load(region->header->wake.brisk_until_ns);
    const uint64_t now_ns = arcly_now();
    arcly_clock_fence(); /* P6: the kernel compares the word after this */
#ifdef ARCLY_MUTANT_NO_NAP
    return false;
#endif
    return now_ns < until_ns && until_ns - now_ns <= 2 * (uint64_t)ARCLY_BRISK_NS * ARCLY_CROWD;
}

int64_t arcly_patience(const struct arcly_region *region, int64_t timeout_ns) {
    if (timeout_ns > ARCLY_NAP_NS && brisk(region))
        return ARCLY_NAP_NS * (int64_t)arcly_crowd(region);
#ifndef ARCLY_MUTANT_NO_DOZE
    const uint64_t age_ns = arcly_now() - arcly_load(region->header->hot.last_publish_ns);
    if (timeout_ns > ARCLY_DOZE_NS && age_ns < 2 * ARCLY_DOZE_NS)
        return ARCLY_DOZE_NS;
#endif
    return timeout_ns;
}

int arcly_wait(const struct arcly_region *region, uint32_t sampled, int64_t timeout_ns) {
    ARCLY_FAULT("wait.sampled");
    timeout_ns = arcly_patience(region, timeout_ns);
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    if (futex(&region->header->wake.word, FUTEX_WAIT, sampled, &timeout) == -1 && errno == EINTR)
        return -EINTR;
    return 0;
}

bool arcly_spin(const struct arcly_region *region, uint32_t sampled, int64_t longest_ns) {
    const uint64_t begin_ns = arcly_now();
    do {
        for (int i = 0; i < 64; i++) {
            if (arcly_wake_sample(region) != sampled)
                return true;
            arcly_pause();
        }
        sched_yield(); /* where there are more that spin than processors, the writer is one that waits for its turn */
    } while (arcly_now() - begin_ns < (uint64_t)longest_ns);
    return false;
}

uint64_t arcly_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void change_word(const struct arcly_region *region) {
    arcly_bump_u32(&region->header->wake.word);
    ARCLY_FAULT("wake.bump");
}

static uint64_t timed_nudge(const struct arcly_region *region, uint64_t now_ns) {
    arcly_nudge(region);
    return arcly_now() - now_ns;
}

uint64_t arcly_wake_unless_brisk(const struct arcly_region *region, uint64_t promised_ns) {
    change_word(region);
    arcly_clock_fence(); /* P6 */
    const uint64_t now_ns = arcly_now();
    return now_ns + ARCLY_SKEW_NS < promised_ns ? 0 : timed_nudge(region, now_ns);
}

void arcly_wake(const struct arcly_region *region) {
    change_word(region);
    arcly_nudge(region);
}

void arcly_nudge(const struct arcly_region *region) {
    futex(&region->header->wake.word, FUTEX_WAKE, INT_MAX, NULL);
}
