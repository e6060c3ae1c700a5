/* check.h - what the C tests share: CHECK, regions on the heap, and self-describing payloads.
 *
 * A region is exactly as long as its block, so that AddressSanitizer sees any access before or after it.
 */
#ifndef ARCLY_CHECK_H
#define ARCLY_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "wait.h"

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition); \
            exit(1); \
        } \
    } while (0)

#define EQUAL(left, right) \
    do { \
        const long long left_ = (long long)(left), right_ = (long long)(right); \
        if (left_ != right_) { \
            fprintf(stderr, "%s:%d: %s: %s is %lld, %s is %lld\n", __FILE__, __LINE__, __func__, #left, left_, #right, \
                    right_); \
            exit(1); \
        } \
    } while (0)

struct test {
    const char *name;
    void (*run)(void);
};

/* Runs the tests named, or all; prints the names of those that passed. */
static inline int run_tests(const struct test *tests, size_t count, int argc, char **argv) {
    for (size_t i = 0; i < count; i++) {
        int wanted = argc < 2;
        for (int a = 1; a < argc; a++)
            wanted |= strcmp(argv[a], tests[i].name) == 0;
        if (!wanted)
            continue;
        tests[i].run();
        printf("%s\n", tests[i].name);
        fflush(stdout);
    }
    return 0;
}

/* xorshift64*: the same numbers on every run. */
static inline uint64_t random_u64(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* ----------------------------------------------------------------- regions */

static const struct arcly_track_spec VIDEO = {.kind = ARCLY_VIDEO, .num = 1, .den = 90000, .width = 640, .height = 360};
static const struct arcly_track_spec AUDIO = {
    .kind = ARCLY_AUDIO, .codec = 5, .num = 1, .den = 48000, .sample_rate = 48000, .channels = 2};

static inline void *make_block(const struct arcly_spec *spec) {
    const uint64_t size = arcly_region_size(spec->ring_bytes, spec->slots);
    CHECK(size && size % ARCLY_PAGE == 0);
    void *base = aligned_alloc(ARCLY_PAGE, size);
    CHECK(base);
    memset(base, 0, size);
    EQUAL(arcly_format(base, spec), ARCLY_OK);
    return base;
}

static inline struct arcly_region attach_block(void *base, uint64_t size) {
    struct arcly_region region;
    struct arcly_refusal refusal = {"", ""};
    const int error = arcly_attach(&region, base, size, &refusal);
    if (error)
        fprintf(stderr, "refused: %s: %s\n", refusal.field, refusal.problem);
    EQUAL(error, ARCLY_OK);
    return region;
}

static inline struct arcly_region make_region(struct arcly_spec spec) {
    if (!spec.key)
        spec.key = "live/test";
    void *base = make_block(&spec);
    return attach_block(base, arcly_region_size(spec.ring_bytes, spec.slots));
}

static inline struct arcly_writer claim(const struct arcly_region *region, const struct arcly_track_spec *tracks,
                                        uint32_t count) {
    struct arcly_writer writer;
    EQUAL(arcly_writer_claim(&writer, region, tracks, count, 1), ARCLY_OK);
    return writer;
}

static inline struct arcly_writer claim_av(const struct arcly_region *region) {
    const struct arcly_track_spec tracks[] = {VIDEO, AUDIO};
    return claim(region, tracks, 2);
}

/* --------------------------------------------------- self-describing frames */

#define MOST_BYTES (1u << 16)

/* Every byte of frame seq of that size follows from both. */
static inline uint8_t pattern(uint64_t seq, uint64_t size, uint64_t place) {
    return (uint8_t)((seq * 0x9e3779b97f4a7c15u + size * 0x85ebca6bu) >> 29) ^ (uint8_t)(place * 31 + (place >> 8) * 7);
}

static inline void describe(uint8_t *bytes, uint64_t seq, uint64_t size) {
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = pattern(seq, size, i);
}

static inline bool describes(const uint8_t *bytes, uint64_t seq, uint64_t size) {
    for (uint64_t i = 0; i < size; i++)
        if (bytes[i] != pattern(seq, size, i))
            return false;
    return true;
}

/* Publish the next frame with a self-describing payload; returns what commit, or reserve, returned. */
static inline int put(struct arcly_writer *writer, uint32_t track, uint64_t size, int64_t pts, uint16_t flags) {
    uint8_t bytes[MOST_BYTES], *memory;
    const struct arcly_meta meta = {
        .pts = pts, .dts = pts, .flags = flags, .publish_ns = 1000 + writer->head, .capture_ns = 7};
    const int error = arcly_writer_reserve(writer, track, size, &memory);
    if (error)
        return error;
    describe(bytes, writer->head, size);
    arcly_copy_in(memory, bytes, size);
    return arcly_writer_commit(writer, size, &meta);
}

static inline int put_config(struct arcly_writer *writer, uint32_t track, uint64_t size) {
    uint8_t bytes[MOST_BYTES];
    const struct arcly_meta meta = {.publish_ns = 1000 + writer->head};
    describe(bytes, writer->head, size);
    return arcly_writer_set_config(writer, track, bytes, size, 0, 0, &meta);
}

/* Take a copy, then check: 1 sound, 0 overwritten meanwhile; a sound but wrong one fails the test. */
static inline int take(const struct arcly_region *region, const struct arcly_frame *frame) {
    uint8_t bytes[MOST_BYTES];
    CHECK(frame->size <= sizeof bytes);
    arcly_copy_out(bytes, frame->data, frame->size);
    if (!arcly_intact(region, frame->pos))
        return 0;
    CHECK(describes(bytes, frame->seq, frame->size));
    return 1;
}

static inline struct arcly_reader reader_at(const struct arcly_region *region, enum arcly_start start, uint64_t value) {
    struct arcly_reader reader;
    arcly_reader_init(&reader, region, start, value, false, UINT32_MAX);
    return reader;
}

#endif
