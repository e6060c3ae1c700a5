#include "limits.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring.h"
#include "wait.h"

struct mapped {
    void *base;
    size_t size;
    struct arcly_region region;
};

static int map_region(struct mapped *mapped, int fd, int protection) {
    struct stat status;
    struct arcly_refusal refusal;
    if (fstat(fd, &status))
        return -errno;
    mapped->size = (size_t)status.st_size;
    mapped->base = mmap(NULL, mapped->size, protection, MAP_SHARED, fd, 0);
    if (mapped->base == MAP_FAILED)
        return -errno;
    const int error = arcly_attach(&mapped->region, mapped->base, mapped->size, &refusal);
    if (error)
        munmap(mapped->base, mapped->size);
    return error;
}

static void wait_turn(struct gate *gate) {
    while (gate_waits(gate))
        gate_sleep(gate);
}

static int publish_all(struct arcly_writer *writer, struct gate *gate) {
    int error = 0;
    for (wait_turn(gate); !error && gate_next(gate); wait_turn(gate)) {
        uint8_t *payload;
        error = arcly_writer_reserve(writer, 0, gate->size, &payload);
        if (error)
            break;
        memcpy(payload, gate->source, gate->size);
        const struct arcly_meta meta = {.pts = (int64_t)gate->seq, .dts = (int64_t)gate->seq, .publish_ns = arcly_now()};
        error = arcly_writer_commit(writer, gate->size, &meta);
    }
    return error;
}

int core_publish(int fd, struct gate *gate) {
    static const struct arcly_track_spec track = {.kind = ARCLY_DATA, .num = 1, .den = 90000};
    struct mapped mapped;
    struct arcly_writer writer;
    int error = map_region(&mapped, fd, PROT_READ | PROT_WRITE);
    if (error)
        return error;
    error = arcly_writer_claim(&writer, &mapped.region, &track, 1, (uint32_t)getpid());
    if (!error) {
        error = publish_all(&writer, gate);
        arcly_writer_end(&writer);
    }
    munmap(mapped.base, mapped.size);
    return error;
}

static int read_all(struct arcly_reader *reader, struct check *check, uint8_t *copy, int64_t spin_ns) {
    const struct arcly_region *region = reader->region;
    struct arcly_item item;
    enum verdict verdict = VERDICT_MORE;
    while (verdict == VERDICT_MORE) {
        const uint32_t sampled = arcly_wake_sample(region);
        const int got = arcly_reader_next(reader, &item, arcly_now());
        if (got == ARCLY_NOTHING) {
            if (spin_ns == 0 || !arcly_spin(region, sampled, spin_ns))
                arcly_wait(region, sampled, INT64_C(500000000));
            continue;
        }
        if (got != ARCLY_GOT_FRAME)
            return -EPROTO;
        if (copy)
            memcpy(copy, item.frame.data, item.frame.size);
        verdict = check_frame(check, copy ? copy : item.frame.data, item.frame.size);
        if (!arcly_intact(region, item.frame.pos))
            return -EPROTO;
    }
    return verdict == VERDICT_DONE ? 0 : -EPROTO;
}

int core_read(int fd, struct check *check, bool copying, int64_t spin_ns) {
    struct mapped mapped;
    struct arcly_reader reader;
    uint8_t *copy = NULL;
    int error = map_region(&mapped, fd, PROT_READ);
    if (error)
        return error;
    if (copying && !(copy = malloc(check->size)))
        error = -ENOMEM;
    if (!error) {
        arcly_reader_init(&reader, &mapped.region, ARCLY_FROM_LIVE, 0, false, UINT32_MAX);
        error = read_all(&reader, check, copy, spin_ns);
    }
    free(copy);
    munmap(mapped.base, mapped.size);
    return error;
}

int copy_around(uint8_t *mapping, size_t mapping_size, struct gate *gate) {
    const size_t step = (gate->size + 63) & ~(size_t)63;
    size_t at = 0;
    for (wait_turn(gate); gate_next(gate); wait_turn(gate)) {
        if (at + gate->size > mapping_size)
            at = 0;
        memcpy(mapping + at, gate->source, gate->size);
        __asm__ volatile("" ::: "memory"); /* each copy is made, even one that the next would overwrite */
        at += step;
    }
    return 0;
}

void wake_nobody(uint32_t *costs, size_t rounds) {
    static _Atomic uint32_t word;
    for (size_t i = 0; i < rounds; i++) {
        const uint64_t begin_ns = bench_now();
        syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
        costs[i] = (uint32_t)(bench_now() - begin_ns);
    }
}
