/* test_ring.c - one frame, one region: sizes, attaching, publishing, reading, spans, checksums. */
#include "check.h"

#include <sys/mman.h>

static const struct arcly_spec SMALL = {.key = "live/test", .ring_bytes = 16 << 10, .slots = 8};

static void sizes_out_of_range_are_refused(void) {
    CHECK(arcly_region_size(ARCLY_MIN_RING, ARCLY_MIN_SLOTS) > ARCLY_MIN_RING);
    EQUAL(arcly_region_size(ARCLY_MIN_RING - ARCLY_PAGE, 8), 0);
    EQUAL(arcly_region_size(ARCLY_MIN_RING + 1, 8), 0);
    EQUAL(arcly_region_size(ARCLY_MAX_RING + ARCLY_PAGE, 8), 0);
    EQUAL(arcly_region_size(UINT64_MAX - 4095, 8), 0);
    EQUAL(arcly_region_size(ARCLY_MIN_RING, 0), 0);
    EQUAL(arcly_region_size(ARCLY_MIN_RING, ARCLY_MIN_SLOTS - 1), 0);
    EQUAL(arcly_region_size(ARCLY_MIN_RING, ARCLY_MAX_SLOTS + 1), 0);
}

static void bad_specs_are_refused(void) {
    char key[ARCLY_KEY_SIZE + 1];
    uint8_t header[ARCLY_HEADER_SIZE] = {0};
    struct arcly_spec spec = SMALL;
    memset(key, 'k', sizeof key);
    key[ARCLY_KEY_SIZE] = 0;
    spec.key = key;
    EQUAL(arcly_format(header, &spec), ARCLY_E_ARGUMENT);
    spec = SMALL;
    spec.base_seq = UINT64_C(1) << 62;
    EQUAL(arcly_format(header, &spec), ARCLY_E_ARGUMENT);
    spec = SMALL;
    spec.ring_bytes = 5;
    EQUAL(arcly_format(header, &spec), ARCLY_E_ARGUMENT);
    for (size_t i = 0; i < sizeof header; i++)
        EQUAL(header[i], 0);
}

static void longest_key_and_facts_arrive(void) {
    char key[ARCLY_KEY_SIZE];
    memset(key, 'k', sizeof key);
    key[ARCLY_KEY_SIZE - 1] = 0;
    struct arcly_spec spec = {.key = key, .ring_bytes = 64 << 10, .slots = 5, .base_seq = 77, .base_epoch = 3,
                              .gop_frames = 1, .gop_bytes = 2, .gop_ms = 3, .crc = true, .created_ns = 9};
    spec.region_id[15] = 0xab;
    const struct arcly_region region = make_region(spec);
    CHECK(strcmp(region.key, key) == 0);
    EQUAL(region.base_seq, 77);
    EQUAL(region.header->hot.head, 77);
    EQUAL(region.header->hot.epoch, 3);
    EQUAL(region.slot_count, 5);
    EQUAL(region.payload_size, 64 << 10);
    EQUAL(region.max_frame, 8 << 10);
    EQUAL(region.gop_limit_frames, 1);
    EQUAL(region.gop_limit_bytes, 2);
    EQUAL(region.gop_limit_ms, 3);
    EQUAL(region.region_id[15], 0xab);
    EQUAL(region.created_ns, 9);
    CHECK(region.crc);
    free(region.base);
}

/* Only the header is touched, so the size costs address space, not memory. */
static void largest_region_attaches(void) {
#if !defined(ARCLY_ATOMIC_COPY)
    const struct arcly_spec spec = {.key = "live/test", .ring_bytes = ARCLY_MAX_RING, .slots = ARCLY_MAX_SLOTS};
    const uint64_t size = arcly_region_size(spec.ring_bytes, spec.slots);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(base != MAP_FAILED);
    EQUAL(arcly_format(base, &spec), ARCLY_OK);
    const struct arcly_region region = attach_block(base, size);
    CHECK(region.max_frame <= UINT32_MAX);
    munmap(base, size);
#endif
}

static void every_field_of_a_frame_arrives(void) {
    const struct arcly_region region = make_region(SMALL);
    struct arcly_writer writer = claim_av(&region);
    struct arcly_frame frame;
    EQUAL(arcly_read(&region, 0, &frame), ARCLY_NOTHING);
    EQUAL(put_config(&writer, 1, 10), ARCLY_OK);
    const struct arcly_meta meta = {.pts = -5, .dts = INT64_MIN, .duration = INT64_MAX, .capture_ns = 11, .publish_ns = 12,
                                    .flags = ARCLY_KEY | ARCLY_DROPPABLE | ARCLY_CORRUPT | ARCLY_DISCONTINUITY};
    uint8_t *memory;
    EQUAL(arcly_writer_reserve(&writer, 1, 3, &memory), ARCLY_OK);
    arcly_copy_in(memory, "abc", 3);
    EQUAL(arcly_writer_commit(&writer, 3, &meta), ARCLY_OK);
    EQUAL(arcly_read(&region, 1, &frame), ARCLY_OK);
    EQUAL(frame.seq, 1);
    EQUAL(frame.pts, -5);
    EQUAL(frame.dts, INT64_MIN);
    EQUAL(frame.duration, INT64_MAX);
    EQUAL(frame.capture_ns, 11);
    EQUAL(frame.publish_ns, 12);
    EQUAL(frame.flags, meta.flags);
    EQUAL(frame.track, 1);
    EQUAL(frame.size, 3);
    EQUAL(frame.epoch, 1);
    EQUAL(frame.config_gen, 1);
    EQUAL(frame.bytes_before, 10);
    EQUAL(frame.pos % ARCLY_ALIGN, 0);
    CHECK(memcmp(frame.data, "abc", 3) == 0 && arcly_intact(&region, frame.pos));
    EQUAL(arcly_read(&region, 2, &frame), ARCLY_NOTHING);
    free(region.base);
}

/* Sequences that no frame of this region has are answered, whatever a never used slot says. */
static void impossible_sequences_are_no_frames(void) {
    struct arcly_spec spec = SMALL;
    spec.base_seq = 100;
    const struct arcly_region region = make_region(spec);
    struct arcly_writer writer = claim_av(&region);
    EQUAL(put(&writer, 0, 64, 0, ARCLY_KEY), ARCLY_OK);
    struct arcly_frame frame;
    EQUAL(arcly_read(&region, 100, &frame), ARCLY_OK);
    for (uint64_t seq = 0; seq < 100; seq++)
        EQUAL(arcly_read(&region, seq, &frame), ARCLY_E_LAPPED);
    for (int bit = 62; bit < 64; bit++)
        for (uint64_t low = 0; low < 128; low++) {
            EQUAL(arcly_read(&region, (UINT64_C(1) << bit) + low, &frame), ARCLY_NOTHING);
            EQUAL(arcly_read(&region, (UINT64_C(1) << bit) - 1 - low, &frame), ARCLY_NOTHING);
        }
    EQUAL(arcly_read(&region, UINT64_MAX, &frame), ARCLY_NOTHING);
    free(region.base);
}

/* Frames in the ring never share a byte; each is contiguous and aligned; the books balance. */
static void wrap_and_padding(void) {
    struct arcly_spec spec = {.key = "live/test", .ring_bytes = 32 << 10, .slots = 64};
    const struct arcly_region region = make_region(spec);
    struct arcly_writer writer = claim_av(&region);
    uint64_t random = 1, wraps = 0, last = 0;
    for (int i = 0; i < 20000; i++) {
        const uint64_t size = random_u64(&random) % (region.max_frame + 1);
        EQUAL(put(&writer, i % 2, size, i, i % 20 == 0 ? ARCLY_KEY : 0), ARCLY_OK);
        uint64_t end = UINT64_MAX;
        for (uint64_t seq = arcly_oldest(&region); seq < writer.head; seq++) {
            struct arcly_frame frame;
            EQUAL(arcly_read(&region, seq, &frame), ARCLY_OK);
            EQUAL(frame.pos % ARCLY_ALIGN, 0);
            CHECK(frame.pos % region.payload_size + frame.size <= region.payload_size);
            CHECK(end == UINT64_MAX || frame.pos >= end);
            end = frame.pos + frame.size;
            if (i % 16 == 0)
                EQUAL(take(&region, &frame), 1);
            last = frame.pos;
        }
        wraps += last / region.payload_size > wraps;
        const struct arcly_counters *c = &region.header->counters;
        EQUAL(arcly_load(region.header->hot.reserved_pos), arcly_load(c->total_bytes) + arcly_load(c->padding_bytes));
        CHECK(writer.head - arcly_oldest(&region) >= (writer.head < 7 ? writer.head : 7));
    }
    CHECK(wraps > 100);
    free(region.base);
}

static void n_slots_hold_exactly_n_frames(void) {
    for (uint32_t n = ARCLY_MIN_SLOTS; n < 40; n++) {
        const struct arcly_spec spec = {.key = "live/test", .ring_bytes = 1 << 20, .slots = n};
        const struct arcly_region region = make_region(spec);
        struct arcly_writer writer = claim_av(&region);
        for (uint64_t i = 0; i < 5 * n; i++) {
            struct arcly_frame frame;
            EQUAL(put(&writer, 0, 100, (int64_t)i, ARCLY_KEY), ARCLY_OK);
            const uint64_t held = i + 1 < n ? i + 1 : n;
            EQUAL(writer.head - arcly_oldest(&region), held);
            for (uint64_t seq = 0; seq < writer.head; seq++)
                EQUAL(arcly_read(&region, seq, &frame), seq + held < writer.head ? ARCLY_E_LAPPED : ARCLY_OK);
        }
        free(region.base);
    }
}

static void too_large_a_frame_leaves_the_stream_alone(void) {
    const struct arcly_region region = make_region(SMALL);
    struct arcly_writer writer = claim_av(&region);
    struct arcly_frame frame;
    uint8_t *memory;
    EQUAL(put(&writer, 0, region.max_frame, 0, ARCLY_KEY), ARCLY_OK);
    EQUAL(put(&writer, 0, region.max_frame + 1, 1, 0), ARCLY_E_TOO_LARGE);
    EQUAL(arcly_writer_reserve(&writer, 0, UINT64_MAX, &memory), ARCLY_E_TOO_LARGE);
    EQUAL(put_config(&writer, 0, region.max_config + 1), ARCLY_E_TOO_LARGE);
    EQUAL(put(&writer, 0, 0, 1, 0), ARCLY_OK);
    EQUAL(writer.head, 2);
    EQUAL(arcly_read(&region, 0, &frame), ARCLY_OK);
    EQUAL(take(&region, &frame), 1);
    EQUAL(arcly_read(&region, 1, &frame), ARCLY_OK);
    EQUAL(frame.size, 0);
    EQUAL(arcly_load(region.header->counters.largest_frame), region.max_frame);
    free(region.base);
}

static void spans_are_committed_or_given_back(void) {
    const struct arcly_region region = make_region(SMALL);
    struct arcly_writer writer = claim_av(&region);
    const struct arcly_meta meta = {.flags = ARCLY_KEY};
    struct arcly_frame frame;
    uint8_t *memory, *again, bytes[1000];
    EQUAL(arcly_writer_commit(&writer, 0, &meta), ARCLY_E_ARGUMENT);
    EQUAL(arcly_writer_reserve(&writer, 2, 10, &memory), ARCLY_E_ARGUMENT);
    EQUAL(arcly_writer_reserve(&writer, 0, 1000, &memory), ARCLY_OK);
    EQUAL(arcly_writer_reserve(&writer, 0, 1, &again), ARCLY_E_ARGUMENT);
    EQUAL(arcly_writer_commit(&writer, 1001, &meta), ARCLY_E_ARGUMENT);
    EQUAL(arcly_read(&region, 0, &frame), ARCLY_NOTHING);
    arcly_writer_abort(&writer);
    EQUAL(arcly_writer_commit(&writer, 10, &meta), ARCLY_E_ARGUMENT);
    EQUAL(arcly_writer_reserve(&writer, 0, 1000, &again), ARCLY_OK);
    CHECK(again == memory);
    describe(bytes, 0, 10);
    arcly_copy_in(again, bytes, 10);
    EQUAL(arcly_writer_commit(&writer, 10, &meta), ARCLY_OK);
    EQUAL(arcly_read(&region, 0, &frame), ARCLY_OK);
    EQUAL(frame.size, 10);
    EQUAL(take(&region, &frame), 1);
    EQUAL(put(&writer, 0, 10, 1, 0), ARCLY_OK);
    EQUAL(arcly_read(&region, 1, &frame), ARCLY_OK);
    EQUAL(frame.pos, ARCLY_ALIGN); /* the bytes that were not used are not lost */
    free(region.base);
}

/* R1: from the moment the memory is handed out, no frame that lies in it passes for intact. */
static void announced_before_overwritten(void) {
    const struct arcly_spec spec = {.key = "live/test", .ring_bytes = 16 << 10, .slots = 64};
    const struct arcly_region region = make_region(spec);
    struct arcly_writer writer = claim_av(&region);
    const struct arcly_meta meta = {.flags = ARCLY_KEY};
    uint64_t random = 3, overwritten = 0;
    for (int i = 0; i < 2000; i++) {
        const uint64_t size = 1 + random_u64(&random) % region.max_frame;
        struct arcly_frame held[64];
        uint8_t bytes[MOST_BYTES], *memory;
        uint64_t count = 0;
        for (uint64_t seq = arcly_oldest(&region); seq < writer.head; seq++)
            EQUAL(arcly_read(&region, seq, &held[count++]), ARCLY_OK);
        EQUAL(arcly_writer_reserve(&writer, 0, size, &memory), ARCLY_OK);
        describe(bytes, writer.head, size);
        arcly_copy_in(memory, bytes, size);
        for (uint64_t k = 0; k < count; k++)
            overwritten += !take(&region, &held[k]);
        if (i % 5)
            EQUAL(arcly_writer_commit(&writer, size, &meta), ARCLY_OK);
        else
            arcly_writer_abort(&writer);
    }
    CHECK(overwritten > 1000);
    free(region.base);
}

static void checksums(void) {
    struct arcly_spec spec = SMALL;
    spec.crc = true;
    const struct arcly_region region = make_region(spec);
    struct arcly_writer writer = claim_av(&region);
    struct arcly_frame frame;
    uint8_t bytes[300];
    EQUAL(arcly_crc32c(0, "123456789", 9), 0xe3069283);
    EQUAL(arcly_crc32c(arcly_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    memset(bytes, 0, sizeof bytes);
    EQUAL(arcly_crc32c(0, bytes, 32), 0x8a9136aa); /* RFC 3720, appendix B.4 */
    memset(bytes, 0xff, sizeof bytes);
    EQUAL(arcly_crc32c(0, bytes, 32), 0x62a8ab43);
    EQUAL(put(&writer, 0, 300, 0, ARCLY_KEY), ARCLY_OK);
    EQUAL(arcly_read(&region, 0, &frame), ARCLY_OK);
    describe(bytes, 0, 300);
    CHECK(frame.flags & ARCLY_HAS_CRC);
    EQUAL(frame.crc, arcly_crc32c(0, bytes, 300));
    free(region.base);
}

static void ticks_become_ns_exactly_and_saturate(void) {
    EQUAL(arcly_ticks_to_ns(90000, 1, 90000), 1000000000);
    EQUAL(arcly_ticks_to_ns(1, 1, 3), 333333333);
    EQUAL(arcly_ticks_to_ns(-1, 1, 3), -333333333);
    EQUAL(arcly_ticks_to_ns(INT64_MAX, UINT32_MAX, 1), INT64_MAX);
    EQUAL(arcly_ticks_to_ns(INT64_MIN, UINT32_MAX, 1), INT64_MIN);
    EQUAL(arcly_ticks_to_ns(INT64_MIN, UINT32_MAX, UINT32_MAX), INT64_MIN);
    EQUAL(arcly_ticks_to_ns(5, 7, 0), 35000000000);
}

int main(int argc, char **argv) {
    const struct test tests[] = {
        {"sizes_out_of_range_are_refused", sizes_out_of_range_are_refused},
        {"bad_specs_are_refused", bad_specs_are_refused},
        {"longest_key_and_facts_arrive", longest_key_and_facts_arrive},
        {"largest_region_attaches", largest_region_attaches},
        {"every_field_of_a_frame_arrives", every_field_of_a_frame_arrives},
        {"impossible_sequences_are_no_frames", impossible_sequences_are_no_frames},
        {"wrap_and_padding", wrap_and_padding},
        {"n_slots_hold_exactly_n_frames", n_slots_hold_exactly_n_frames},
        {"too_large_a_frame_leaves_the_stream_alone", too_large_a_frame_leaves_the_stream_alone},
        {"spans_are_committed_or_given_back", spans_are_committed_or_given_back},
        {"announced_before_overwritten", announced_before_overwritten},
        {"checksums", checksums},
        {"ticks_become_ns_exactly_and_saturate", ticks_become_ns_exactly_and_saturate},
    };
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
