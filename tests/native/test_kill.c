/* test_kill.c - what readers see between any two stores of the writer, and what a successor makes of each such place.
 *
 * Built with hook.h: before_store() runs before each store. It counts, looks (an observer reads everything), or kills (the
 * writer is left for good, as SIGKILL would leave it).
 */
#include <setjmp.h>

#include "check.h"

static long steps, kill_at;
static jmp_buf killed;
static void (*observer)(void);

void before_store(void) {
    void (*const look)(void) = observer;
    if (look) {
        observer = NULL;
        look();
        observer = look;
    }
    if (++steps == kill_at) {
        kill_at = 0;
        longjmp(killed, 1);
    }
}

static const struct arcly_spec SPEC = {.ring_bytes = 16 << 10, .slots = 64};
static struct arcly_region region;
static struct arcly_writer writer;
static volatile uint64_t returned; /* frames whose publication returned */
static int64_t clock_pts;

static void done(int error) {
    EQUAL(error, ARCLY_OK);
    returned = writer.head;
}

/* A picture and its sound; every fourth picture is a keyframe with sound ahead of it. */
static void pictures(int count, uint64_t size) {
    for (int i = 0; i < count; i++) {
        clock_pts += 3600;
        done(put(&writer, 1, size / 2, (clock_pts + 7200) * 48 / 90, 0));
        done(put(&writer, 0, size, clock_pts, i % 4 ? 0 : ARCLY_KEY));
    }
}

static void begin(void) {
    region = make_region(SPEC);
    writer = claim_av(&region);
    clock_pts = 0;
    done(put_config(&writer, 1, 9));
    for (int g = 0; g < 62; g++) /* the next but one configuration wears out the sound's record */
        done(put_config(&writer, 0, 20));
    pictures(6, 1500);
}

/* What is done between any two stores of: both kinds of frame, configurations, a span given back. */
static void go_on(void) {
    uint8_t *memory;
    pictures(3, 100);
    done(put_config(&writer, 0, 30));
    done(put_config(&writer, 0, 31));
    pictures(2, 70);
    EQUAL(arcly_writer_reserve(&writer, 0, 2000, &memory), ARCLY_OK);
    arcly_writer_abort(&writer);
    pictures(5, 130);
}

/* ------------------------------------------------------------------ looking */

static uint64_t seen_head, seen_watermark, seen_gops;

static void everything_holds(void) {
    static struct arcly_item item;
    const struct arcly_hot *hot = &region.header->hot;
    const uint64_t head = arcly_load(hot->head), gops = arcly_load(hot->gop_head);
    struct arcly_frame frame;
    CHECK(head >= seen_head && gops >= seen_gops && arcly_load(hot->reserved_pos) >= seen_watermark);
    seen_head = head;
    seen_gops = gops;
    seen_watermark = arcly_load(hot->reserved_pos);
    for (uint64_t seq = head > 64 ? head - 64 : 0; seq < head + 2; seq++) {
        const int got = arcly_read(&region, seq, &frame);
        CHECK(got == ARCLY_OK || got == (seq < head ? ARCLY_E_LAPPED : ARCLY_NOTHING));
        if (got == ARCLY_OK)
            EQUAL(take(&region, &frame), 1);
    }
    CHECK(head == 0 || arcly_read(&region, head - 1, &frame) == ARCLY_OK);
    if (gops) {
        struct arcly_gop_copy gop;
        EQUAL(arcly_gop_read(&region, gops - 1, &gop), ARCLY_OK);
        EQUAL(arcly_read(&region, gop.key_seq, &frame), ARCLY_OK);
        CHECK(frame.flags & ARCLY_KEY);
    }
    for (int start = ARCLY_FROM_KEYFRAME; start <= ARCLY_FROM_OLDEST; start++) {
        struct arcly_reader reader = reader_at(&region, (enum arcly_start)start, 0);
        uint64_t next = 0;
        bool started = false;
        int got;
        while ((got = arcly_reader_next(&reader, &item, 0)) == ARCLY_GOT_FRAME || got == ARCLY_GOT_CONFIG) {
            if (got == ARCLY_GOT_CONFIG) {
                CHECK(!started && describes(item.frame.data, item.frame.seq, item.frame.size));
                continue;
            }
            EQUAL(take(&region, &item.frame), 1);
            CHECK(!started || item.frame.seq == next);
            started |= start == ARCLY_FROM_LIVE || item.frame.flags & ARCLY_KEY;
            CHECK(started || item.frame.track == 1 || item.frame.flags & ARCLY_CONFIG);
            next = item.frame.seq + 1;
        }
        EQUAL(got, ARCLY_NOTHING);
    }
}

static void readers_find_order_between_any_two_stores(void) {
    begin();
    seen_head = seen_watermark = seen_gops = steps = 0;
    observer = everything_holds;
    go_on();
    pictures(14, 1700); /* round the ring more than once */
    observer = NULL;
    CHECK(steps > 10000);
    free(region.base);
}

/* ------------------------------------------------------------------ killing */

struct stayed {
    struct arcly_reader reader;
    uint64_t next;
    uint32_t epoch;
    int discontinuities;
};

/* Everything that is there, dense: a killed writer costs no sequence. */
static void read_on(struct stayed *s) {
    static struct arcly_item item;
    int got;
    while ((got = arcly_reader_next(&s->reader, &item, 0)) == ARCLY_GOT_FRAME || got == ARCLY_GOT_CONFIG) {
        if (got == ARCLY_GOT_CONFIG)
            continue;
        EQUAL(item.frame.seq, s->next);
        EQUAL(take(&region, &item.frame), 1);
        CHECK(item.frame.epoch >= s->epoch);
        if (item.frame.flags & ARCLY_DISCONTINUITY) {
            s->discontinuities++;
            CHECK(item.frame.flags & ARCLY_KEY);
            CHECK(item.frame.epoch > s->epoch);
            s->epoch = item.frame.epoch;
        }
        CHECK(item.frame.epoch == s->epoch || item.frame.flags & ARCLY_CONFIG);
        s->next++;
    }
    EQUAL(got, ARCLY_NOTHING);
}

/* Run `what` and kill it before its k-th store; false: it came to its end. */
static bool kill_in(void (*what)(void), long k) {
    steps = 0;
    kill_at = k;
    if (setjmp(killed))
        return true;
    what();
    kill_at = 0;
    return false;
}

static void claim_again(void) {
    writer = claim_av(&region);
}

static struct stayed stay(void) {
    struct stayed s = {.reader = reader_at(&region, ARCLY_FROM_SEQ, writer.head), .next = writer.head, .epoch = 1};
    return s;
}

/* After a kill: nothing is corrupt, nothing that was published is lost, a successor goes on from there. */
static void check_aftermath(struct stayed *s, int kills) {
    const uint64_t watermark = arcly_load(region.header->hot.reserved_pos), head = arcly_load(region.header->hot.head);
    seen_head = seen_watermark = seen_gops = 0;
    everything_holds();
    read_on(s);
    CHECK(s->next >= returned && s->next <= returned + 1); /* at most the frame that was being published */
    claim_again();
    EQUAL(writer.epoch >= 2 && writer.epoch <= 1 + (uint32_t)kills, 1);
    EQUAL(writer.head, s->next);
    CHECK(writer.head >= head && writer.head <= head + 1);
    CHECK(arcly_load(region.header->hot.reserved_pos) >= watermark);
    everything_holds();
    done(put_config(&writer, 0, 40));
    done(put_config(&writer, 1, 41));
    everything_holds();
    EQUAL(put(&writer, 1, 10, 0, 0), ARCLY_GATED);
    pictures(0, 0);
    done(put(&writer, 0, 200, 0, ARCLY_KEY));
    pictures(3, 500);
    everything_holds();
    read_on(s);
    EQUAL(s->next, writer.head);
    EQUAL(s->discontinuities, 1);
    EQUAL(s->epoch, writer.epoch);
    EQUAL(s->reader.missed, 0);
    struct arcly_frame last;
    EQUAL(arcly_read(&region, writer.head - 1, &last), ARCLY_OK);
    EQUAL(last.bytes_before + last.size, arcly_load(region.header->counters.total_bytes));
    struct arcly_track_copy track;
    EQUAL(arcly_track_read(&region, 0, &track), ARCLY_OK);
    EQUAL(arcly_track_read(&region, 1, &track), ARCLY_OK);
}

static void a_writer_killed_between_any_two_stores(void) {
    bool was_killed = true;
    for (long k = 1; was_killed; k++) {
        begin();
        struct stayed s = stay();
        was_killed = kill_in(go_on, k);
        check_aftermath(&s, 1);
        CHECK(was_killed || k > 1500);
        free(region.base);
    }
}

static void a_successor_killed_while_it_claims(void) {
    for (long k = 1; k < 60; k++) /* in the middle of a frame; then in every step of the claim */
        for (long j = 1;; j++) {
            begin();
            struct stayed s = stay();
            CHECK(kill_in(go_on, 1 + k * 29));
            if (!kill_in(claim_again, j)) {
                CHECK(j > 100);
                free(region.base);
                break;
            }
            check_aftermath(&s, 3);
            free(region.base);
            j += 6;
        }
}

int main(int argc, char **argv) {
    const struct test tests[] = {
        {"readers_find_order_between_any_two_stores", readers_find_order_between_any_two_stores},
        {"a_writer_killed_between_any_two_stores", a_writer_killed_between_any_two_stores},
        {"a_successor_killed_while_it_claims", a_successor_killed_while_it_claims},
    };
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
