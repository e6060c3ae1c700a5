/* test_lap.c - readers that were overtaken, and the end: every frame is either delivered, passed over or counted.
 *
 * A writer with a random stream and readers that fall behind at random, compared with a plain record of what was
 * published. One process, so each run is the same.
 */
#include "check.h"

#define FRAMES 6000
#define READERS 6

struct record {
    uint16_t track, flags;
};

static struct record published[FRAMES + 1000];

struct follower {
    struct arcly_reader reader;
    uint64_t expected; /* sequence of the next frame that is neither delivered, passed over nor counted */
    uint64_t missed, delivered, gaps;
    uint64_t after_gap; /* UINT64_MAX: the last item was no gap */
    bool over;
};

/* Frames may be passed over that are of no wanted track, or that lie ahead of the keyframe joined at and are no sound. */
static void expect_passed_over(const struct follower *f, uint64_t from, uint64_t to) {
    for (uint64_t seq = from; seq < to; seq++)
        CHECK(!(f->reader.track_mask >> published[seq].track & 1) ||
              (seq < f->reader.join_key && published[seq].track == 0 && !(published[seq].flags & ARCLY_CONFIG)));
}

/* One item, checked against what was published. False: there is nothing more yet. */
static bool follow(struct follower *f) {
    struct arcly_item item;
    const int got = arcly_reader_next(&f->reader, &item, 1u << 30);
    f->over = got == ARCLY_OVER;
    if (got == ARCLY_NOTHING || got == ARCLY_OVER)
        return false;
    CHECK(got > 0);
    if (got == ARCLY_GOT_GAP) {
        CHECK(item.missed > 0);
        const uint64_t lost_from = item.resumed_at - item.missed;
        CHECK(lost_from >= f->expected);
        expect_passed_over(f, f->expected, lost_from);
        f->expected = f->after_gap = item.resumed_at;
        f->missed += item.missed;
        f->gaps++;
        EQUAL(f->reader.missed, f->missed);
        return true;
    }
    if (got == ARCLY_GOT_CONFIG) {
        CHECK(item.frame.seq < f->expected || f->delivered == 0);
        CHECK(describes(item.frame.data, item.frame.seq, item.frame.size));
        return true;
    }
    const uint64_t seq = item.frame.seq;
    if (f->delivered == 0 && f->missed == 0 && f->expected == 0)
        f->expected = f->reader.start == ARCLY_FROM_SEQ ? f->expected : seq;
    expect_passed_over(f, f->expected, seq);
    EQUAL(item.frame.track, published[seq].track);
    EQUAL(item.frame.flags, published[seq].flags);
    EQUAL(take(f->reader.region, &item.frame), 1);
    if (f->after_gap != UINT64_MAX && !f->reader.resync_oldest && f->reader.track_mask == UINT32_MAX) {
        EQUAL(seq, f->after_gap);
        CHECK(item.frame.flags & ARCLY_KEY);
    }
    f->after_gap = UINT64_MAX;
    f->expected = seq + 1;
    f->delivered++;
    return true;
}

static void start(struct follower *f, const struct arcly_region *region, int which) {
    memset(f, 0, sizeof *f);
    arcly_reader_init(&f->reader, region, which < 3 ? ARCLY_FROM_SEQ : ARCLY_FROM_KEYFRAME, 0, which % 2,
                      which == 2 ? 2 : UINT32_MAX);
    f->after_gap = UINT64_MAX;
}

static void run(uint64_t seed, uint32_t slots, bool end_early) {
    const struct arcly_region region = make_region((struct arcly_spec){.ring_bytes = 64 << 10, .slots = slots});
    struct arcly_writer writer = claim_av(&region);
    struct follower followers[READERS];
    uint64_t random = seed, gaps = 0;
    for (int i = 0; i < READERS; i++)
        start(&followers[i], &region, i);
    while (writer.head < FRAMES) {
        const uint64_t dice = random_u64(&random) % 100, seq = writer.head;
        const uint32_t track = dice < 40;
        const bool config = dice % 25 == 0, key = seq == 0 || (track == 0 && dice > 94);
        const int error = config ? put_config(&writer, track, 1 + dice)
                                 : put(&writer, track, random_u64(&random) % (region.max_frame + 1), (int64_t)seq * 10,
                                       key ? ARCLY_KEY : 0);
        EQUAL(error, ARCLY_OK);
        published[seq].track = (uint16_t)track;
        published[seq].flags = config ? ARCLY_CONFIG : key ? ARCLY_KEY : 0;
        for (int i = 0; i < READERS; i++) {
            if (random_u64(&random) % (8u << i) == 0) /* the later, the slower */
                for (uint64_t n = random_u64(&random) % (16u << i); n && follow(&followers[i]); n--)
                    ;
        }
    }
    if (end_early)
        arcly_daemon_close(&region, ARCLY_CLOSED_PUBLISHER_GONE);
    else
        arcly_writer_end(&writer);
    for (int i = 0; i < READERS; i++) {
        struct follower *f = &followers[i];
        while (follow(f))
            ;
        CHECK(f->over && f->reader.closed == (end_early ? ARCLY_CLOSED_PUBLISHER_GONE : ARCLY_CLOSED_ENDED));
        if (f->delivered || f->missed) {
            expect_passed_over(f, f->expected, writer.head);
            EQUAL(f->reader.next, writer.head);
        }
        if (i < 2) /* from 0 on, all tracks: the sum is exact */
            EQUAL(f->delivered + f->missed, writer.head);
        CHECK(!follow(f) && f->over);
        gaps += f->gaps;
    }
    CHECK(gaps > 10);
    free(region.base);
}

static void every_frame_is_delivered_or_counted(void) {
    for (uint64_t seed = 1; seed <= 8; seed++)
        run(seed, seed % 2 ? 24 : 512, seed % 4 > 1);
}

/* Overtaken when nothing is left to resync to: the frames lost at the very end are counted all the same. */
static void frames_lost_at_the_very_end_are_counted(void) {
    for (int resync_oldest = 0; resync_oldest < 2; resync_oldest++) {
        const struct arcly_region region = make_region((struct arcly_spec){.ring_bytes = 64 << 10, .slots = 8});
        struct arcly_writer writer = claim_av(&region);
        struct arcly_reader reader;
        struct arcly_item item;
        EQUAL(put(&writer, 0, 10, 0, ARCLY_KEY), ARCLY_OK);
        arcly_reader_init(&reader, &region, ARCLY_FROM_KEYFRAME, 0, resync_oldest, UINT32_MAX);
        EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_FRAME);
        for (int i = 1; i < 100; i++)
            EQUAL(put(&writer, 0, 10, i, 0), ARCLY_OK);
        if (!resync_oldest)
            EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_NOTHING); /* waits for a join point */
        arcly_writer_end(&writer);
        EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_GAP);
        EQUAL(item.missed, resync_oldest ? 91 : 99);
        EQUAL(item.resumed_at, resync_oldest ? 92 : 100);
        for (int i = 0; i < 8 * resync_oldest; i++)
            EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_FRAME);
        EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_OVER);
        EQUAL(reader.missed + 1 + (resync_oldest ? 8 : 0), 100);
        free(region.base);
    }
}

/* A start at a sequence, or "now", is a promise: what is overtaken before the first delivery counts as well. */
static void overtaken_before_the_first_frame(void) {
    const struct arcly_region region = make_region((struct arcly_spec){.ring_bytes = 64 << 10, .slots = 8, .base_seq = 50});
    struct arcly_writer writer = claim_av(&region);
    struct arcly_reader live = reader_at(&region, ARCLY_FROM_LIVE, 0), at = reader_at(&region, ARCLY_FROM_SEQ, 40),
                        key = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    struct arcly_item item;
    for (int i = 0; i < 30; i++)
        EQUAL(put(&writer, 0, 10, i, i % 6 ? 0 : ARCLY_KEY), ARCLY_OK);
    EQUAL(arcly_reader_next(&live, &item, 0), ARCLY_GOT_GAP);
    EQUAL(item.missed, 24);
    EQUAL(arcly_reader_next(&at, &item, 0), ARCLY_GOT_GAP);
    EQUAL(item.missed, 34);
    EQUAL(item.resumed_at, 74);
    EQUAL(arcly_reader_next(&at, &item, 0), ARCLY_GOT_FRAME);
    EQUAL(item.frame.seq, 74);
    EQUAL(arcly_reader_next(&key, &item, 0), ARCLY_GOT_FRAME); /* a joiner has no place to lose */
    EQUAL(item.frame.seq, 74);
    EQUAL(key.missed, 0);
    free(region.base);
}

static void an_overtaken_reader_waits_for_a_joinable_gop(void) {
    const struct arcly_region region = make_region((struct arcly_spec){.ring_bytes = 1 << 20, .slots = 16});
    struct arcly_writer writer = claim_av(&region);
    struct arcly_item item;
    EQUAL(put_config(&writer, 0, 30), ARCLY_OK);
    EQUAL(put(&writer, 0, 10, 0, ARCLY_KEY), ARCLY_OK);
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_CONFIG);
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_FRAME);
    EQUAL(put_config(&writer, 0, 31), ARCLY_OK); /* 2: lost with its frame, kept as a record */
    for (int i = 0; i < 20; i++)
        EQUAL(put(&writer, 0, 10, 900 * i, 0), ARCLY_OK);
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_NOTHING);
    EQUAL(put(&writer, 0, 10, 90000, ARCLY_KEY), ARCLY_OK); /* 23 */
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_GAP);
    EQUAL(item.missed, 21);
    EQUAL(item.resumed_at, 23);
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_CONFIG);
    EQUAL(item.frame.size, 31);
    EQUAL(item.frame.seq, 2);
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_FRAME);
    EQUAL(item.frame.seq, 23);
    free(region.base);
}

static void readers_drain_before_the_end_and_a_kick_is_at_once(void) {
    const struct arcly_region region = make_region((struct arcly_spec){.ring_bytes = 1 << 20, .slots = 16});
    struct arcly_writer writer = claim_av(&region);
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_LIVE, 0), kicked = reader, late;
    struct arcly_item item;
    EQUAL(put(&writer, 0, 10, 0, ARCLY_KEY), ARCLY_OK);
    EQUAL(put(&writer, 0, 10, 1, 0), ARCLY_OK);
    arcly_writer_end(&writer);
    arcly_writer_end(&writer);
    EQUAL(put(&writer, 0, 10, 2, 0), ARCLY_E_CLOSED);
    arcly_daemon_close(&region, ARCLY_CLOSED_REAPED); /* ended before that: ended it is */
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_FRAME);
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_FRAME);
    for (int i = 0; i < 3; i++) {
        EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_OVER);
        EQUAL(reader.closed, ARCLY_CLOSED_ENDED);
    }
    arcly_publish_u32(&kicked.kicked, ARCLY_CLOSED_KICKED);
    EQUAL(arcly_reader_next(&kicked, &item, 0), ARCLY_OVER);
    EQUAL(kicked.closed, ARCLY_CLOSED_KICKED);
    late = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(arcly_reader_next(&late, &item, 0), ARCLY_GOT_FRAME);
    EQUAL(item.frame.seq, 0);
    free(region.base);
}

int main(int argc, char **argv) {
    const struct test tests[] = {
        {"every_frame_is_delivered_or_counted", every_frame_is_delivered_or_counted},
        {"frames_lost_at_the_very_end_are_counted", frames_lost_at_the_very_end_are_counted},
        {"overtaken_before_the_first_frame", overtaken_before_the_first_frame},
        {"an_overtaken_reader_waits_for_a_joinable_gop", an_overtaken_reader_waits_for_a_joinable_gop},
        {"readers_drain_before_the_end_and_a_kick_is_at_once", readers_drain_before_the_end_and_a_kick_is_at_once},
    };
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
