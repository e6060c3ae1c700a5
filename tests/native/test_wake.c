/* test_wake.c - bursts of frames, readers that sleep without bound: nobody sleeps through the end of one.
 *
 * test_wake [BURSTS]. The pauses between frames lie around the bounds by which the writer decides whether to wake and
 * a reader how long to sleep. After each burst the writer waits, without publishing, until everybody has read it all;
 * a reader that slept through its last frame would sleep for a hundred seconds, and the writer gives up after ten.
 */
#include <pthread.h>
#include <sched.h>

#include "check.h"
#include "wait.h"

#define READERS 3
#define LONG_NS INT64_C(100000000000)
#define PATIENCE_NS UINT64_C(10000000000)

static struct arcly_region region;
static arcly_u64 read_up_to[READERS];
static arcly_u32 slept;

static void pass(uint64_t ns) {
    for (const uint64_t begin = arcly_now(); arcly_now() - begin < ns;)
        arcly_pause();
}

static void *read_all(void *argument) {
    arcly_u64 *mine = argument;
    static _Thread_local struct arcly_item item;
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_SEQ, 0);
    for (;;) {
        const uint32_t sampled = arcly_wake_sample(&region);
        const int got = arcly_reader_next(&reader, &item, arcly_now());
        if (got == ARCLY_OVER)
            return NULL;
        if (got == ARCLY_NOTHING) {
            arcly_bump_u32(&slept);
            arcly_wait(&region, sampled, LONG_NS);
            continue;
        }
        EQUAL(got, ARCLY_GOT_FRAME);
        arcly_publish_u64(mine, reader.next);
    }
}

static void wait_for_all(uint64_t head) {
    const uint64_t begin = arcly_now();
    for (int i = 0; i < READERS; i++)
        while (arcly_acquire_u64(&read_up_to[i]) < head) {
            if (arcly_now() - begin > PATIENCE_NS) {
                fprintf(stderr, "reader %d sleeps through frame %llu\n", i, (unsigned long long)head - 1);
                exit(1);
            }
            sched_yield();
        }
}

static void publish(struct arcly_writer *writer) {
    uint8_t *memory;
    EQUAL(arcly_writer_reserve(writer, 0, 8, &memory), ARCLY_OK);
    const struct arcly_meta meta = {.pts = (int64_t)writer->head, .publish_ns = arcly_now(), .flags = ARCLY_KEY};
    arcly_copy_in(memory, "12345678", 8);
    EQUAL(arcly_writer_commit(writer, 8, &meta), ARCLY_OK);
}

int main(int argc, char **argv) {
    const uint64_t bursts = argc > 1 ? strtoull(argv[1], NULL, 10) : 3000;
    pthread_t threads[READERS];
    uint64_t random = 5;
    region = make_region((struct arcly_spec){.ring_bytes = 64 << 10, .slots = 256});
    struct arcly_writer writer = claim(&region, &VIDEO, 1);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_all, &read_up_to[i]) == 0);
    for (uint64_t burst = 0; burst < bursts; burst++) {
        const uint64_t frames = 1 + random_u64(&random) % 12, most = (uint64_t[]){1, 8000, 20000, 60000}[burst % 4];
        for (uint64_t i = 0; i < frames; i++) {
            publish(&writer);
            pass(random_u64(&random) % most);
        }
        wait_for_all(writer.head);
        pass(random_u64(&random) % 150000); /* around the time for which readers nap before they sleep */
    }
    arcly_writer_end(&writer);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(arcly_load(slept) > bursts); /* a run in which nobody slept proves nothing */
    printf("bursts %llu, sleeps %u\n", (unsigned long long)bursts, arcly_load(slept));
    free(region.base);
    return 0;
}
