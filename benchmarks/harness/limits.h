/* limits.h - what the machine can do at best: the C core without Python around it, and memcpy alone. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include "board.h"

/* Publish through the C core until the gate is over; 0, a negative ARCLY_E_ code, or -errno. fd: a region. */
int core_publish(int fd, struct gate *gate);

/* Read through the C core until the last frame, by view or (copying) into memory of its own; spin_ns: look for so long
 * before sleeping. 0, -errno, -EPROTO where a frame is missing or overwritten. */
int core_read(int fd, struct check *check, bool copying, int64_t spin_ns);

/* Copy the source into consecutive places of the mapping, around and around, until the gate is over. */
int copy_around(uint8_t *mapping, size_t mapping_size, struct gate *gate);

/* Nanoseconds of each of `rounds` FUTEX_WAKE calls on a shared word with nobody asleep. */
void wake_nobody(uint32_t *costs, size_t rounds);

#endif
