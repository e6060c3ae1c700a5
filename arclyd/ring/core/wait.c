#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long futex(const arcly_u32 *word, int op, uint32_t value, const struct timespec *timeout) {
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

int arcly_wait(const struct arcly_region *region, uint32_t sampled, int64_t timeout_ns) {
    ARCLY_FAULT("wait.sampled");
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    if (futex(&region->header->wake.word, FUTEX_WAIT, sampled, &timeout) == -1 && errno == EINTR)
        return -EINTR;
    return 0;
}

void arcly_wake(const struct arcly_region *region) {
    arcly_bump_u32(&region->header->wake.word);
    ARCLY_FAULT("wake.bump");
    arcly_nudge(region);
}

void arcly_nudge(const struct arcly_region *region) {
    futex(&region->header->wake.word, FUTEX_WAKE, INT_MAX, NULL);
}
