/* test_threads.c - one writer, several readers, fast and slow: no frame that passes its check is other than published.
 *
 * test_threads [FRAMES]. Every frame describes itself in every byte. The slow readers look at the payload in place
 * and dawdle before they check it, so that they are overtaken all the time.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "check.h"

#define READERS 4

static struct arcly_region region;
static uint64_t frames = 1000000;
static arcly_u32 running;

struct score {
    struct arcly_reader reader;
    int number;
    uint64_t received, overwritten, gaps;
};

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *write_all(void *unused) {
    const struct arcly_track_spec tracks[] = {VIDEO, AUDIO};
    struct arcly_writer writer;
    uint64_t random = 11;
    (void)unused;
    EQUAL(arcly_writer_claim(&writer, &region, tracks, 2, 1), ARCLY_OK);
    arcly_publish_u32(&running, READERS);
    while (writer.head < frames) {
        const uint64_t dice = random_u64(&random);
        const uint64_t size = dice % 8 ? dice % 300 : dice % (region.max_frame + 1);
        const uint32_t track = writer.head % 3 == 1;
        const int64_t pts = (int64_t)writer.head * (track ? 48 : 90);
        if (writer.head % 1000 == 999)
            EQUAL(put_config(&writer, 0, 50), ARCLY_OK);
        else
            EQUAL(put(&writer, track, size, pts, writer.head % 30 ? 0 : ARCLY_KEY), ARCLY_OK);
        if (dice >> 57 == 0)
            sched_yield(); /* now and then: lets readers get to where it hurts */
    }
    arcly_writer_end(&writer);
    return NULL;
}

/* Read the payload where it lies, word by word with pauses; what was wrong counts only if the frame was intact. */
static bool dawdle(const struct arcly_frame *f, uint64_t *random) {
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < f->size; i++) {
        uint8_t byte;
        arcly_copy_out(&byte, f->data + i, 1);
        wrong += byte != pattern(f->seq, f->size, i);
        if (i % 512 == 0 && random_u64(random) % 64 == 0)
            sched_yield();
    }
    if (!arcly_intact(&region, f->pos))
        return false;
    EQUAL(wrong, 0);
    return true;
}

static void *read_all(void *argument) {
    struct score *score = argument;
    static _Thread_local struct arcly_item item;
    uint64_t random = 100 + (uint64_t)score->number, next = 0;
    for (;;) {
        const uint32_t sampled = arcly_wake_sample(&region);
        const int got = arcly_reader_next(&score->reader, &item, now_ns());
        if (got == ARCLY_OVER)
            break;
        if (got == ARCLY_NOTHING) {
            arcly_wait(&region, sampled, 1000000000);
            continue;
        }
        CHECK(got > 0);
        if (got == ARCLY_GOT_GAP) {
            EQUAL(item.resumed_at - item.missed, next);
            next = item.resumed_at;
            score->gaps++;
            continue;
        }
        if (got == ARCLY_GOT_CONFIG) {
            CHECK(describes(item.frame.data, item.frame.seq, item.frame.size));
            continue;
        }
        EQUAL(item.frame.seq, next);
        next++;
        score->received++;
        score->overwritten += !(score->number % 2 ? dawdle(&item.frame, &random) : take(&region, &item.frame));
        if (score->number > 1 && random_u64(&random) % 256 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    EQUAL(next, frames);
    EQUAL(score->received + score->reader.missed, frames);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[READERS + 1];
    static struct score scores[READERS];
    if (argc > 1)
        frames = strtoull(argv[1], NULL, 10);
    region = make_region((struct arcly_spec){.ring_bytes = 64 << 10, .slots = 256});
    for (int i = 0; i < READERS; i++) {
        arcly_reader_init(&scores[i].reader, &region, ARCLY_FROM_SEQ, 0, i == 3, UINT32_MAX);
        scores[i].number = i;
    }
    CHECK(pthread_create(&threads[READERS], NULL, write_all, NULL) == 0);
    while (!arcly_acquire_u32(&running))
        sched_yield();
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_all, &scores[i]) == 0);
    for (int i = 0; i <= READERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    uint64_t overwritten = 0, gaps = 0;
    for (int i = 0; i < READERS; i++) {
        printf("reader %d: %llu received, %llu missed in %llu gaps, %llu overwritten while in use\n", i,
               (unsigned long long)scores[i].received, (unsigned long long)scores[i].reader.missed,
               (unsigned long long)scores[i].gaps, (unsigned long long)scores[i].overwritten);
        overwritten += scores[i].overwritten;
        gaps += scores[i].gaps;
    }
    CHECK(gaps > 0); /* a run in which nobody was slow proves nothing */
    printf("frames %llu, overwritten in use %llu\n", (unsigned long long)frames, (unsigned long long)overwritten);
    free(region.base);
    return 0;
}
