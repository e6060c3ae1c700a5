/* test_stream.c - a stream as its readers see it: joining, configurations, laps, epochs, the end. */
#include "check.h"

#define MOST_ITEMS 4096

struct seen {
    int kind; /* ARCLY_GOT_… */
    uint64_t seq, missed;
    uint32_t track, generation, epoch;
    uint16_t flags;
    uint64_t size;
};

static struct seen seen[MOST_ITEMS];

/* Read until there is nothing more; every payload is compared. Returns how many items; *last: NOTHING or OVER. */
static size_t drain(struct arcly_reader *reader, int *last) {
    struct arcly_item item;
    for (size_t count = 0;; count++) {
        const int got = arcly_reader_next(reader, &item, 1u << 30);
        *last = got;
        if (got == ARCLY_NOTHING || got == ARCLY_OVER)
            return count;
        CHECK(got > 0 && count < MOST_ITEMS);
        if (got == ARCLY_GOT_GAP) {
            seen[count] = (struct seen){.kind = got, .seq = item.resumed_at, .missed = item.missed};
            continue;
        }
        const struct arcly_frame *f = &item.frame;
        if (got == ARCLY_GOT_CONFIG)
            CHECK(describes(f->data, f->seq, f->size));
        else
            EQUAL(take(reader->region, f), 1);
        seen[count] = (struct seen){got, f->seq, 0, f->track, f->config_gen, f->epoch, f->flags, f->size};
    }
}

static size_t drain_waiting(struct arcly_reader *reader) {
    int last;
    const size_t count = drain(reader, &last);
    EQUAL(last, ARCLY_NOTHING);
    return count;
}

static struct arcly_region make(uint64_t ring_bytes, uint32_t slots) {
    return make_region((struct arcly_spec){.ring_bytes = ring_bytes, .slots = slots});
}

/* ----------------------------------------------------------------- joining */

static void a_joiner_gets_configurations_lead_in_keyframe_then_everything(void) {
    const struct arcly_region region = make(1 << 20, 256);
    struct arcly_writer writer = claim_av(&region);
    put_config(&writer, 0, 40); /* 0 */
    put_config(&writer, 1, 5);  /* 1 */
    put(&writer, 0, 100, 0, ARCLY_KEY);
    for (int i = 1; i < 20; i++)
        put(&writer, i % 2, 100, i % 2 ? i * 480 : i * 900, 0);
    /* Sound runs 100 ms ahead of the picture to come at 1 s: 48000 ticks. */
    put(&writer, 1, 50, 47000, 0);          /* 22: before it */
    put(&writer, 1, 51, 48000, 0);          /* 23: lead-in from here */
    put(&writer, 0, 52, 89000, 0);          /* 24: a picture of the last GOP */
    put(&writer, 1, 53, 49000, 0);          /* 25 */
    put(&writer, 0, 54, 90000, ARCLY_KEY);  /* 26 */
    put(&writer, 1, 55, 40000, 0);          /* 27: after the keyframe everything is taken */
    put(&writer, 0, 56, 93000, 0);          /* 28 */
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(drain_waiting(&reader), 7);
    const uint64_t expected[] = {0, 1, 23, 25, 26, 27, 28};
    for (int i = 0; i < 7; i++)
        EQUAL(seen[i].seq, expected[i]);
    EQUAL(seen[0].kind, ARCLY_GOT_CONFIG);
    EQUAL(seen[1].kind, ARCLY_GOT_CONFIG);
    EQUAL(seen[1].size, 5);
    CHECK(seen[4].flags & ARCLY_KEY);
    EQUAL(reader.missed, 0);
    put(&writer, 0, 57, 96000, 0);
    EQUAL(drain_waiting(&reader), 1);
    EQUAL(seen[0].seq, 29);
    free(region.base);
}

/* Sound that runs further ahead than the ring holds: what is left of it, and the picture it belongs to. */
static void a_keyframe_is_joined_though_its_lead_in_is_gone(void) {
    const struct arcly_region region = make(16 << 10, 256); /* sixteen frames of 1,000 bytes */
    struct arcly_writer writer = claim_av(&region);
    struct arcly_gop_copy gop;
    put_config(&writer, 0, 40);
    put_config(&writer, 1, 5);
    put(&writer, 0, 100, 0, ARCLY_KEY);
    for (int i = 0; i < 30; i++)
        put(&writer, 1, 1000, 48000 + i * 1024, 0);
    put(&writer, 0, 1000, 90000, ARCLY_KEY);
    const uint64_t key = writer.head - 1;
    for (uint64_t behind = 0; behind <= 15; behind++) {
        EQUAL(arcly_gop_read(&region, 1, &gop), ARCLY_OK);
        EQUAL(gop.join_seq, 3);
        CHECK(gop.intact && gop.joinable && !gop.whole);
        for (int start = 0; start < 2; start++) {
            struct arcly_reader reader = reader_at(&region, start ? ARCLY_FROM_OLDEST : ARCLY_FROM_KEYFRAME, 0);
            EQUAL(drain_waiting(&reader), 2 + 16);
            CHECK(seen[0].kind == ARCLY_GOT_CONFIG && seen[1].kind == ARCLY_GOT_CONFIG);
            for (uint64_t i = 0; i < 16; i++)
                EQUAL(seen[2 + i].seq, key - 15 + behind + i);
            CHECK(seen[2 + 15 - behind].flags & ARCLY_KEY);
            EQUAL(reader.missed, 0);
        }
        put(&writer, 0, 1000, 93000 + (int64_t)behind * 3000, 0);
    }
    EQUAL(arcly_gop_read(&region, 1, &gop), ARCLY_OK);
    CHECK(!gop.intact && !gop.joinable);
    struct arcly_reader late = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(drain_waiting(&late), 0);
    free(region.base);
}

static void each_start_has_its_place(void) {
    const struct arcly_region region = make(1 << 20, 256);
    struct arcly_writer writer = claim_av(&region);
    for (int i = 0; i < 100; i++)
        put(&writer, 0, 10, i * 900, i % 10 == 5 ? ARCLY_KEY : 0); /* published at 1000 + i */
    struct arcly_item item;
    const struct {
        enum arcly_start start;
        uint64_t value, now, first;
    } cases[] = {{ARCLY_FROM_KEYFRAME, 0, 0, 95}, {ARCLY_FROM_OLDEST, 0, 0, 5},  {ARCLY_FROM_SEQ, 42, 0, 42},
                 {ARCLY_FROM_AGO, 0, 2000, 95},   {ARCLY_FROM_AGO, 20, 1100, 75}, {ARCLY_FROM_AGO, 14, 1100, 85},
                 {ARCLY_FROM_AGO, 15, 1100, 85},  {ARCLY_FROM_AGO, 5000, 1100, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arcly_reader reader = reader_at(&region, cases[i].start, cases[i].value);
        EQUAL(arcly_reader_next(&reader, &item, cases[i].now), ARCLY_GOT_FRAME);
        EQUAL(item.frame.seq, cases[i].first);
    }
    struct arcly_reader live = reader_at(&region, ARCLY_FROM_LIVE, 0);
    put(&writer, 0, 10, 90000, 0); /* after the reader was made: it is the next frame */
    EQUAL(drain_waiting(&live), 1);
    EQUAL(seen[0].seq, 100);
    struct arcly_reader future = reader_at(&region, ARCLY_FROM_SEQ, 103);
    EQUAL(drain_waiting(&future), 0);
    for (int i = 101; i < 105; i++)
        put(&writer, 0, 10, 90000 + i, 0);
    EQUAL(drain_waiting(&future), 2);
    EQUAL(seen[0].seq, 103);
    free(region.base);
}

static void a_joiner_waits_for_its_first_keyframe(void) {
    const struct arcly_region region = make(1 << 20, 64);
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(drain_waiting(&reader), 0);
    struct arcly_writer writer = claim_av(&region);
    put_config(&writer, 0, 40);
    for (int i = 0; i < 10; i++)
        put(&writer, 0, 10, i, 0);
    EQUAL(drain_waiting(&reader), 0);
    CHECK(!reader.joined);
    put(&writer, 0, 10, 11, ARCLY_KEY);
    EQUAL(drain_waiting(&reader), 2);
    EQUAL(seen[0].kind, ARCLY_GOT_CONFIG);
    EQUAL(seen[1].seq, 11);
    EQUAL(reader.missed, 0);
    free(region.base);
}

static void a_gop_beyond_its_limit_is_not_joined(void) {
    const struct arcly_spec specs[] = {{.gop_frames = 10}, {.gop_bytes = 1000}, {.gop_ms = 100}};
    for (int i = 0; i < 3; i++) {
        struct arcly_spec spec = specs[i];
        spec.ring_bytes = 1 << 20;
        spec.slots = 64;
        const struct arcly_region region = make_region(spec);
        struct arcly_writer writer = claim_av(&region);
        struct arcly_gop_copy gop;
        for (int frame = 0; frame < 10; frame++) /* 10 frames, 1000 bytes, 90 ms */
            put(&writer, 0, 100, frame * 900, frame ? 0 : ARCLY_KEY);
        struct arcly_reader in_time = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
        EQUAL(drain_waiting(&in_time), 10);
        EQUAL(arcly_gop_read(&region, 0, &gop), ARCLY_OK);
        EQUAL(gop.frames, 10);
        EQUAL(gop.bytes, 1000);
        EQUAL(gop.duration_ns, 90000000);
        CHECK(gop.intact && gop.joinable);
        put(&writer, 0, 100, 10 * 900, 0);
        put(&writer, 0, 100, 11 * 900, 0);
        EQUAL(arcly_gop_read(&region, 0, &gop), ARCLY_OK);
        CHECK(gop.intact && !gop.joinable);
        struct arcly_reader late = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
        EQUAL(drain_waiting(&late), 0);
        put(&writer, 0, 100, 12 * 900, ARCLY_KEY);
        EQUAL(drain_waiting(&late), 1);
        EQUAL(seen[0].seq, 12);
        EQUAL(drain_waiting(&in_time), 3);
        free(region.base);
    }
}

static void a_gop_larger_than_the_ring_is_not_joined(void) {
    const struct arcly_region region = make(1 << 20, 16);
    struct arcly_writer writer = claim_av(&region);
    struct arcly_gop_copy gop;
    for (int i = 0; i < 17; i++)
        put(&writer, 0, 10, i, i ? 0 : ARCLY_KEY);
    EQUAL(arcly_gop_read(&region, 0, &gop), ARCLY_OK);
    CHECK(!gop.intact && !gop.joinable);
    EQUAL(gop.frames, 17);
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_OLDEST, 0);
    EQUAL(drain_waiting(&reader), 0);
    put(&writer, 0, 10, 18, ARCLY_KEY);
    EQUAL(drain_waiting(&reader), 1);
    free(region.base);
}

static void sound_alone_is_joined_every_500_ms(void) {
    const struct arcly_region region = make(1 << 20, 512);
    struct arcly_writer writer = claim(&region, &AUDIO, 1);
    for (int i = 0; i < 200; i++) /* 20 ms each */
        put(&writer, 0, 10, i * 960, 0);
    EQUAL(arcly_load(region.header->hot.gop_head), 8);
    for (uint64_t n = 0; n < 8; n++) {
        struct arcly_gop_copy gop;
        EQUAL(arcly_gop_read(&region, n, &gop), ARCLY_OK);
        EQUAL(gop.key_seq, 25 * n);
        EQUAL(gop.frames, 25);
    }
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(drain_waiting(&reader), 25);
    EQUAL(seen[0].seq, 175);
    put(&writer, 0, 10, 0, 0); /* time starts anew */
    EQUAL(arcly_load(region.header->hot.gop_head), 9);
    free(region.base);
}

static void tracks_that_are_not_wanted_are_passed_over(void) {
    const struct arcly_region region = make(1 << 20, 128);
    struct arcly_writer writer = claim_av(&region);
    put_config(&writer, 0, 4);
    put_config(&writer, 1, 4);
    for (int i = 0; i < 50; i++)
        put(&writer, i % 2, 10, i % 2 ? i * 480 : i * 900, i % 10 ? 0 : ARCLY_KEY);
    struct arcly_reader reader;
    arcly_reader_init(&reader, &region, ARCLY_FROM_OLDEST, 0, false, 2);
    EQUAL(drain_waiting(&reader), 26);
    for (int i = 0; i < 26; i++)
        EQUAL(seen[i].track, 1);
    EQUAL(reader.next, 52);
    EQUAL(reader.missed, 0);
    free(region.base);
}

/* ---------------------------------------------------------- configurations */

static void each_gop_has_the_configuration_of_its_time(void) {
    const struct arcly_region region = make(1 << 20, 512);
    struct arcly_writer writer = claim_av(&region);
    put_config(&writer, 1, 7);
    for (int g = 0; g < 20; g++) {
        put_config(&writer, 0, 100 + (uint64_t)g);
        for (int i = 0; i < 5; i++)
            put(&writer, 0, 10, g * 5 + i, i ? 0 : ARCLY_KEY);
    }
    for (uint64_t g = 0; g < 20; g++) {
        /* From the frame before the keyframe's own CONFIG frame the configuration is still the one before. */
        struct arcly_config_copy config;
        EQUAL(arcly_config_at(&region, 0, 2 + 6 * g, &config), ARCLY_OK);
        EQUAL(config.size, 100 + g);
        CHECK(describes(config.data, config.seq, config.size));
        EQUAL(arcly_config_at(&region, 1, 2 + 6 * g, &config), ARCLY_OK);
        EQUAL(config.size, 7);
    }
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_OLDEST, 0);
    EQUAL(drain_waiting(&reader), 121);
    EQUAL(seen[0].seq, 1); /* video's first, of generation 2 */
    EQUAL(seen[0].size, 100);
    EQUAL(seen[1].size, 7);
    struct arcly_reader newest = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(drain_waiting(&newest), 7);
    EQUAL(seen[0].size, 119);
    free(region.base);
}

static void more_configurations_than_records(void) {
    const struct arcly_region region = make(1 << 20, 2048);
    struct arcly_writer writer = claim_av(&region);
    for (uint64_t g = 0; g < 300; g++) {
        EQUAL(put_config(&writer, 0, 1 + g % 50), ARCLY_OK);
        put(&writer, 0, 10, (int64_t)g, ARCLY_KEY);
        struct arcly_reader reader = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
        EQUAL(drain_waiting(&reader), 2);
        EQUAL(seen[0].generation, g + 1);
        EQUAL(seen[1].generation, g + 1);
    }
    struct arcly_config_copy config;
    EQUAL(arcly_config_at(&region, 0, 100, &config), ARCLY_E_LAPPED);
    /* From the oldest join point whose configuration is kept: every frame from there, none without. */
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_OLDEST, 0);
    const size_t count = drain_waiting(&reader);
    CHECK(count > 100);
    EQUAL(seen[0].kind, ARCLY_GOT_CONFIG);
    for (size_t i = 1; i < count; i++)
        EQUAL(seen[i].seq, seen[0].seq + i);
    EQUAL(seen[count - 1].seq, 599);
    free(region.base);
}

/* One track's many changes must not cost another its only record. */
static void a_configuration_in_force_is_never_lost(void) {
    const struct arcly_region region = make(1 << 20, 256);
    struct arcly_writer writer = claim_av(&region);
    EQUAL(put_config(&writer, 1, 5), ARCLY_OK);
    for (int g = 0; g < 200; g++) {
        EQUAL(put_config(&writer, 0, 20), ARCLY_OK);
        put(&writer, 0, 10, 900 * g, ARCLY_KEY);
        put(&writer, 1, 10, 480 * g - 4800, 0);
        struct arcly_reader reader = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
        EQUAL(drain_waiting(&reader), 4);
        EQUAL(seen[0].track, 0);
        EQUAL(seen[1].track, 1);
        EQUAL(seen[1].kind, ARCLY_GOT_CONFIG);
        EQUAL(seen[1].size, 5);
        CHECK(seen[2].flags & ARCLY_KEY);
    }
    free(region.base);
}

/* A record that goes between joining and its delivery: the joiner begins again. */
static void a_joiner_that_dawdles_over_configurations_joins_anew(void) {
    const struct arcly_region region = make(1 << 20, 1024);
    struct arcly_writer writer = claim_av(&region);
    struct arcly_item item;
    put_config(&writer, 0, 20);
    put_config(&writer, 1, 5);
    put(&writer, 0, 10, 0, ARCLY_KEY);
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(arcly_reader_next(&reader, &item, 0), ARCLY_GOT_CONFIG);
    EQUAL(item.frame.track, 0);
    for (int g = 0; g < 100; g++)
        put_config(&writer, 1, 6);
    put(&writer, 0, 10, 900, ARCLY_KEY);
    const size_t count = drain_waiting(&reader);
    EQUAL(count, 3);
    EQUAL(seen[0].size, 20); /* video's, renewed meanwhile */
    EQUAL(seen[1].track, 1);
    EQUAL(seen[1].size, 6);
    CHECK(seen[2].flags & ARCLY_KEY);
    free(region.base);
}

/* ------------------------------------------------------------------ epochs */

static void a_claim_goes_on_and_says_so(void) {
    const struct arcly_region region = make(1 << 20, 64);
    struct arcly_writer first = claim_av(&region);
    put_config(&first, 0, 20);
    put(&first, 0, 10, 0, ARCLY_KEY);
    put(&first, 0, 10, 900, 0);
    struct arcly_reader stayed = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(drain_waiting(&stayed), 3);
    CHECK(!(seen[1].flags & ARCLY_DISCONTINUITY));
    struct arcly_writer second = claim_av(&region);
    EQUAL(second.epoch, 2);
    EQUAL(second.head, 3);
    EQUAL(put_config(&second, 0, 30), ARCLY_OK);
    EQUAL(put(&second, 0, 10, 0, 0), ARCLY_GATED);
    EQUAL(put(&second, 1, 10, 0, 0), ARCLY_GATED);
    EQUAL(put(&second, 0, 10, 0, ARCLY_KEY), ARCLY_OK);
    EQUAL(put(&second, 1, 10, 0, 0), ARCLY_OK);
    EQUAL(put(&second, 0, 10, 900, ARCLY_KEY), ARCLY_OK);
    EQUAL(second.gated, 2);
    EQUAL(drain_waiting(&stayed), 4);
    for (uint64_t i = 0; i < 4; i++) {
        EQUAL(seen[i].seq, 3 + i);
        EQUAL(seen[i].epoch, 2);
        EQUAL(!!(seen[i].flags & ARCLY_DISCONTINUITY), i == 1);
    }
    CHECK(seen[1].flags & ARCLY_KEY);
    EQUAL(stayed.missed, 0);
    free(region.base);
}

/* Between a claim and its first CONFIG frame the newest join point is the killed writer's. */
static void a_joiner_between_writers_gets_the_old_configuration(void) {
    const struct arcly_region region = make(1 << 20, 64);
    struct arcly_writer first = claim_av(&region);
    put_config(&first, 0, 20);
    put_config(&first, 1, 21);
    put(&first, 0, 10, 0, ARCLY_KEY);
    struct arcly_writer second = claim_av(&region);
    struct arcly_reader reader = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    CHECK(drain_waiting(&reader) >= 2);
    EQUAL(seen[0].size, 20);
    /* The new writer has no configuration: its joiners get none of the old one's. */
    put(&second, 0, 10, 0, ARCLY_KEY);
    struct arcly_reader late = reader_at(&region, ARCLY_FROM_KEYFRAME, 0);
    EQUAL(drain_waiting(&late), 1);
    EQUAL(seen[0].seq, 3);
    free(region.base);
}

static void another_writer_has_the_same_tracks(void) {
    const struct arcly_region region = make(1 << 20, 64);
    const struct arcly_track_spec fewer[] = {VIDEO}, swapped[] = {AUDIO, VIDEO}, more[] = {VIDEO, AUDIO, AUDIO};
    struct arcly_track_spec codec[] = {VIDEO, AUDIO}, base[] = {VIDEO, AUDIO};
    struct arcly_track_copy track;
    struct arcly_writer other;
    codec[1].codec++;
    base[0].den++;
    arcly_store(region.tracks[0].word, 1); /* left by a first claim that was not finished, with other tracks */
    arcly_store(region.tracks[0].time_base_num, 7);
    EQUAL(arcly_track_read(&region, 0, &track), ARCLY_NOTHING);
    claim_av(&region);
    for (uint32_t torn = 0; torn <= 1; torn++) {
        for (uint32_t id = 0; torn && id < region.track_count; id++)
            arcly_store(region.tracks[id].word, arcly_load(region.tracks[id].word) | 1);
        EQUAL(arcly_track_read(&region, 0, &track), ARCLY_OK);
        EQUAL(track.torn, torn);
        EQUAL(track.kind, ARCLY_VIDEO);
        EQUAL(arcly_track_read(&region, 1, &track), ARCLY_OK);
        EQUAL(track.kind, ARCLY_AUDIO);
        EQUAL(arcly_track_read(&region, 2, &track), ARCLY_NOTHING);
        EQUAL(arcly_writer_claim(&other, &region, fewer, 1, 1), ARCLY_E_TRACKS);
        EQUAL(arcly_writer_claim(&other, &region, swapped, 2, 1), ARCLY_E_TRACKS);
        EQUAL(arcly_writer_claim(&other, &region, more, 3, 1), ARCLY_E_TRACKS);
        EQUAL(arcly_writer_claim(&other, &region, codec, 2, 1), ARCLY_E_TRACKS);
        EQUAL(arcly_writer_claim(&other, &region, base, 2, 1), ARCLY_E_TRACKS);
        EQUAL(arcly_load(region.header->hot.epoch), 1);
    }
    claim_av(&region);
    EQUAL(arcly_track_read(&region, 0, &track), ARCLY_OK);
    EQUAL(track.torn, 0);
    free(region.base);
}

static void a_writer_without_leave_stops(void) {
    const struct arcly_region region = make(1 << 20, 64);
    struct arcly_writer first = claim_av(&region), second;
    const struct arcly_track_spec tracks[] = {VIDEO, AUDIO, {.kind = 3, .num = 1, .den = 1}, {.num = 0, .den = 1}};
    arcly_store(region.header->daemon.granted_epoch, 1);
    EQUAL(put(&first, 0, 10, 0, ARCLY_KEY), ARCLY_OK);
    EQUAL(arcly_writer_claim(&second, &region, tracks, 0, 1), ARCLY_E_ARGUMENT);
    EQUAL(arcly_writer_claim(&second, &region, tracks, 3, 1), ARCLY_E_ARGUMENT);
    EQUAL(arcly_writer_claim(&second, &region, tracks, 4, 1), ARCLY_E_ARGUMENT);
    EQUAL(arcly_writer_claim(&second, &region, tracks, ARCLY_TRACKS + 1, 1), ARCLY_E_ARGUMENT);
    EQUAL(put(&first, 0, 10, 0, 0), ARCLY_OK);
    arcly_store(region.header->daemon.granted_epoch, 2);
    EQUAL(put(&first, 0, 10, 0, ARCLY_KEY), ARCLY_E_REPLACED);
    arcly_writer_end(&first); /* not its to end any more */
    EQUAL(arcly_load(region.header->hot.state), ARCLY_LIVE);
    EQUAL(arcly_writer_claim(&second, &region, tracks, 2, 1), ARCLY_OK);
    EQUAL(put(&second, 0, 10, 0, ARCLY_KEY), ARCLY_OK);
    arcly_daemon_close(&region, ARCLY_CLOSED_KICKED);
    EQUAL(put(&second, 0, 10, 0, ARCLY_KEY), ARCLY_E_CLOSED);
    EQUAL(arcly_writer_claim(&second, &region, tracks, 2, 1), ARCLY_E_CLOSED);
    free(region.base);
}

static void keyframe_requests_are_seen_once(void) {
    const struct arcly_region region = make(1 << 20, 64);
    arcly_bump_u32(&region.header->daemon.keyframe_requests);
    struct arcly_writer writer = claim_av(&region);
    CHECK(!arcly_writer_keyframe_requested(&writer)); /* asked before its time: it starts with a keyframe anyway */
    arcly_bump_u32(&region.header->daemon.keyframe_requests);
    arcly_bump_u32(&region.header->daemon.keyframe_requests);
    CHECK(arcly_writer_keyframe_requested(&writer));
    CHECK(!arcly_writer_keyframe_requested(&writer));
    free(region.base);
}

int main(int argc, char **argv) {
    const struct test tests[] = {
        {"a_joiner_gets_configurations_lead_in_keyframe_then_everything",
         a_joiner_gets_configurations_lead_in_keyframe_then_everything},
        {"a_keyframe_is_joined_though_its_lead_in_is_gone", a_keyframe_is_joined_though_its_lead_in_is_gone},
        {"each_start_has_its_place", each_start_has_its_place},
        {"a_joiner_waits_for_its_first_keyframe", a_joiner_waits_for_its_first_keyframe},
        {"a_gop_beyond_its_limit_is_not_joined", a_gop_beyond_its_limit_is_not_joined},
        {"a_gop_larger_than_the_ring_is_not_joined", a_gop_larger_than_the_ring_is_not_joined},
        {"sound_alone_is_joined_every_500_ms", sound_alone_is_joined_every_500_ms},
        {"tracks_that_are_not_wanted_are_passed_over", tracks_that_are_not_wanted_are_passed_over},
        {"each_gop_has_the_configuration_of_its_time", each_gop_has_the_configuration_of_its_time},
        {"more_configurations_than_records", more_configurations_than_records},
        {"a_configuration_in_force_is_never_lost", a_configuration_in_force_is_never_lost},
        {"a_joiner_that_dawdles_over_configurations_joins_anew", a_joiner_that_dawdles_over_configurations_joins_anew},
        {"a_claim_goes_on_and_says_so", a_claim_goes_on_and_says_so},
        {"a_joiner_between_writers_gets_the_old_configuration", a_joiner_between_writers_gets_the_old_configuration},
        {"another_writer_has_the_same_tracks", another_writer_has_the_same_tracks},
        {"a_writer_without_leave_stops", a_writer_without_leave_stops},
        {"keyframe_requests_are_seen_once", keyframe_requests_are_seen_once},
    };
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
