#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/io_uring.h and linux/futex.h of Linux 6.7; headers in use are older. */
#define OP_FUTEX_WAIT 51
#define FUTEX_OF_32_BITS 2 /* FUTEX2_SIZE_U32, and not FUTEX2_PRIVATE */
#define ANY_WAKER UINT32_MAX /* FUTEX_BITSET_MATCH_ANY */

#define ENTRIES 4 /* a wait and its timeout, twice */
#define OPS 64
#define OF_TIMEOUT 1 /* marks its completion; that of the wait is marked 0 */

static int can_wait_for_a_futex(int fd) {
    struct {
        struct io_uring_probe head;
        struct io_uring_probe_op ops[OPS];
    } probe;
    memset(&probe, 0, sizeof probe);
    if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, &probe, OPS) < 0)
        return -errno;
    return probe.head.ops_len > OP_FUTEX_WAIT && probe.ops[OP_FUTEX_WAIT].flags & IO_URING_OP_SUPPORTED ? 0 : -ENOSYS;
}

static int map(struct arcly_uring *u, const struct io_uring_params *p) {
    const size_t submit = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
    const size_t done = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    if (!(p->features & IORING_FEAT_SINGLE_MMAP))
        return -ENOSYS;
    u->rings_size = submit > done ? submit : done;
    u->rings = mmap(NULL, u->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQ_RING);
    if (u->rings == MAP_FAILED)
        return -errno;
    u->entries_size = p->sq_entries * sizeof(struct io_uring_sqe);
    u->entries = mmap(NULL, u->entries_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQES);
    if (u->entries == MAP_FAILED) {
        const int error = -errno;
        munmap(u->rings, u->rings_size);
        return error;
    }
    uint8_t *rings = u->rings;
    u->submit_tail = (arcly_u32 *)(rings + p->sq_off.tail);
    u->submit_mask = *(uint32_t *)(rings + p->sq_off.ring_mask);
    u->submit_order = (uint32_t *)(rings + p->sq_off.array);
    u->done_head = (arcly_u32 *)(rings + p->cq_off.head);
    u->done_tail = (arcly_u32 *)(rings + p->cq_off.tail);
    u->done_mask = *(uint32_t *)(rings + p->cq_off.ring_mask);
    u->done_offset = p->cq_off.cqes;
    return 0;
}

int arcly_uring_open(struct arcly_uring *u) {
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    memset(u, 0, sizeof *u);
    u->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
    if (u->fd < 0)
        return -errno;
    int error = can_wait_for_a_futex(u->fd);
    if (!error)
        error = map(u, &params);
    if (error)
        close(u->fd);
    return error;
}

static void submit(struct arcly_uring *u, const struct io_uring_sqe *entry) {
    const uint32_t tail = arcly_load(*u->submit_tail), place = tail & u->submit_mask;
    memcpy((struct io_uring_sqe *)u->entries + place, entry, sizeof *entry);
    u->submit_order[place] = place;
    arcly_publish_u32(u->submit_tail, tail + 1); /* the kernel acquires it */
}

int arcly_uring_wait(struct arcly_uring *u, const struct arcly_region *region, uint32_t sampled, int64_t timeout_ns) {
    if (u->pending)
        return 0;
    u->timeout.seconds = timeout_ns / 1000000000;
    u->timeout.ns = timeout_ns % 1000000000;
    struct io_uring_sqe wait = {.opcode = OP_FUTEX_WAIT, .flags = IOSQE_IO_LINK, .fd = FUTEX_OF_32_BITS};
    wait.addr = (uintptr_t)&region->header->wake.word;
    wait.off = sampled;
    memcpy((uint8_t *)&wait + 48, &(uint64_t){ANY_WAKER}, 8); /* addr3 */
    submit(u, &wait);
    submit(u, &(struct io_uring_sqe){
                  .opcode = IORING_OP_LINK_TIMEOUT, .addr = (uintptr_t)&u->timeout, .len = 1, .user_data = OF_TIMEOUT});
    if (syscall(SYS_io_uring_enter, u->fd, 2, 0, 0, NULL, 0) < 0)
        return -errno;
    u->pending = true;
    return 0;
}

bool arcly_uring_take(struct arcly_uring *u) {
    uint32_t head = arcly_load(*u->done_head);
    bool over = false;
    for (const uint32_t tail = arcly_acquire_u32(u->done_tail); head != tail; head++)
        over |= ((struct io_uring_cqe *)((uint8_t *)u->rings + u->done_offset))[head & u->done_mask].user_data != OF_TIMEOUT;
    arcly_publish_u32(u->done_head, head);
    u->pending &= !over;
    return over;
}

void arcly_uring_close(struct arcly_uring *u, bool forked) {
    if (!forked) {
        munmap(u->entries, u->entries_size);
        munmap(u->rings, u->rings_size);
    }
    close(u->fd);
}
