/* test_hostile.c - every byte of a region is hostile input: refused, or harmless.
 *
 * Meant for AddressSanitizer: a region fills its block to the last byte. A loop without end is the watchdog's.
 */
#include "check.h"

static const struct arcly_spec SPEC = {.key = "live/test", .ring_bytes = 16 << 10, .slots = 32};

static uint8_t *sound; /* a region with a stream in it */
static uint64_t sound_size;

static void make_sound(void) {
    struct arcly_spec spec = SPEC;
    spec.gop_frames = 1000;
    const struct arcly_region region = make_region(spec);
    struct arcly_writer writer = claim_av(&region);
    for (int i = 0; i < 60; i++) {
        if (i % 20 == 0)
            EQUAL(put_config(&writer, (uint32_t)i % 2, 20), ARCLY_OK);
        EQUAL(put(&writer, (uint32_t)i % 2, (uint64_t)i, i * 900, i % 10 ? 0 : ARCLY_KEY), ARCLY_OK);
    }
    sound = region.base;
    sound_size = region.size;
}

static void sign(void *base) {
    struct arcly_geometry *g = base;
    g->crc = arcly_crc32c(0, (uint8_t *)base + 8, 376);
}

static uint64_t sum; /* what is read is used, so that it is read */

static void touch(const struct arcly_region *region, const struct arcly_frame *frame) {
    CHECK(frame->data >= region->base && frame->data + frame->size <= region->base + region->size);
    for (uint32_t i = 0; i < frame->size; i++)
        sum += frame->data[i];
    sum += arcly_intact(region, frame->pos);
}

/* Everything a reader may do; the answers are nobody's business, that they come is. */
static void use(const struct arcly_region *region, uint64_t *random) {
    static struct arcly_item item;
    static struct arcly_config_copy config;
    struct arcly_frame frame;
    struct arcly_gop_copy gop;
    struct arcly_track_copy track;
    const uint64_t oldest = arcly_oldest(region);
    for (uint64_t seq = oldest - 2; seq != oldest + 40; seq++)
        if (arcly_read(region, seq, &frame) == ARCLY_OK)
            touch(region, &frame);
    for (uint32_t id = 0; id < ARCLY_TRACKS + 2; id++)
        sum += (uint64_t)arcly_track_read(region, id, &track);
    const uint64_t gops = arcly_load(region->header->hot.gop_head), configs = arcly_load(region->header->hot.config_head);
    for (uint64_t n = gops - 8; n != gops + 2; n++)
        sum += (uint64_t)arcly_gop_read(region, n, &gop);
    for (uint64_t n = configs - 5; n != configs + 2; n++)
        sum += (uint64_t)arcly_config_read(region, n, &config);
    for (uint32_t id = 0; id < 3; id++)
        sum += (uint64_t)arcly_config_at(region, id, oldest + 10, &config);
    for (int start = ARCLY_FROM_KEYFRAME; start <= ARCLY_FROM_AGO; start++) {
        struct arcly_reader reader;
        arcly_reader_init(&reader, region, (enum arcly_start)start, oldest + random_u64(random) % 4, start % 2, UINT32_MAX);
        for (int step = 0; step < 100; step++) {
            const int got = arcly_reader_next(&reader, &item, random_u64(random));
            if (got == ARCLY_GOT_FRAME)
                touch(region, &item.frame);
            else if (got != ARCLY_GOT_CONFIG && got != ARCLY_GOT_GAP)
                break;
        }
    }
}

/* Attach, and if that works use it. What attach said. */
static int try_region(void *base, uint64_t size, uint64_t *random) {
    struct arcly_region region;
    struct arcly_refusal refusal = {NULL, NULL};
    const int error = arcly_attach(&region, base, size, &refusal);
    if (error == ARCLY_OK) {
        use(&region, random);
    } else {
        CHECK(error == ARCLY_E_CORRUPT || error == ARCLY_E_VERSION);
        CHECK(refusal.field && refusal.problem);
    }
    return error;
}

static void any_length_is_refused_but_the_whole(void) {
    uint64_t random = 5, size = 0;
    while (size < sound_size) {
        void *copy = malloc(size ? size : 1);
        memcpy(copy, sound, size);
        EQUAL(try_region(copy, size, &random), ARCLY_E_CORRUPT);
        free(copy);
        size += size < 1200 ? 1 : 1 + random_u64(&random) % 20000;
    }
    EQUAL(try_region(sound, sound_size, &random), ARCLY_OK);
}

static void random_bytes_are_refused(void) {
    uint64_t random = 6;
    uint8_t *bytes = malloc(8192);
    for (int i = 0; i < 2000; i++) {
        for (int k = 0; k < 8192; k += 8) {
            const uint64_t word = random_u64(&random);
            memcpy(bytes + k, &word, 8);
        }
        EQUAL(try_region(bytes, 8192, &random), ARCLY_E_CORRUPT);
        const uint64_t magic = ARCLY_MAGIC;
        memcpy(bytes, &magic, 8);
        CHECK(try_region(bytes, 8192, &random) < 0);
        const uint16_t major = ARCLY_MAJOR;
        memcpy(bytes + 8, &major, 2);
        memset(bytes + 16, 0, 8);
        EQUAL(try_region(bytes, 8192, &random), ARCLY_E_CORRUPT);
        sign(bytes);
        CHECK(try_region(bytes, 8192, &random) < 0);
    }
    free(bytes);
}

static void a_header_with_a_wrong_checksum_is_refused(void) {
    uint64_t random = 7;
    for (uint32_t at = 8; at < 388; at++)
        for (int bit = 0; bit < 8; bit++) {
            sound[at] ^= (uint8_t)(1 << bit);
            CHECK(try_region(sound, sound_size, &random) < 0);
            sound[at] ^= (uint8_t)(1 << bit);
        }
    EQUAL(try_region(sound, sound_size, &random), ARCLY_OK);
}

struct bad_values {
    const char *name;
    size_t offset, size;
    uint64_t values[8];
};

/* The checksum is made to match, so each value meets the check it is for. 0 is one of the values of every field. */
static void every_bad_value_of_a_field_is_refused(void) {
    const uint64_t most = UINT64_MAX, size = sound_size;
    const struct bad_values bad[] = {
        {"major", 8, 2, {ARCLY_MAJOR + 1, 255, 65535}},
        {"header_size", 12, 4, {1, ARCLY_HEADER_SIZE - 1, UINT32_MAX}},
        {"region_size", 32, 8, {1, ARCLY_HEADER_SIZE, size - 4096, size + 1, most}},
        {"track_offset", 40, 8, {8, ARCLY_HEADER_SIZE - 8, ARCLY_HEADER_SIZE + 1, size, size - 8, most, most - 7}},
        {"track_count", 48, 4, {ARCLY_TRACKS + 1, UINT32_MAX}},
        {"track_stride", 52, 4, {1, ARCLY_TRACK_SIZE - 8, ARCLY_TRACK_SIZE + 8, ARCLY_TRACK_SIZE * 2, UINT32_MAX}},
        {"config_offset", 56, 8, {8, size, size - 8, most, most - 7, ARCLY_HEADER_SIZE + 4}},
        {"config_count", 64, 4, {1 << 16, (1 << 16) + 1, UINT32_MAX}},
        {"config_stride", 68, 4, {64, 72, ARCLY_CONFIG_SIZE - 8, ARCLY_CONFIG_SIZE + 8, UINT32_MAX}},
        {"gop_offset", 72, 8, {8, size, size - 8, most, most - 7, ARCLY_HEADER_SIZE + 4}},
        {"gop_count", 80, 4, {1 << 20, (1 << 20) + 1, UINT32_MAX}},
        {"gop_stride", 84, 4, {8, ARCLY_GOP_SIZE - 8, ARCLY_GOP_SIZE + 8, UINT32_MAX}},
        {"slot_offset", 88, 8, {8, size, size - 8, most, most - 7, ARCLY_HEADER_SIZE + 4}},
        {"slot_count", 96, 4, {ARCLY_MAX_SLOTS, ARCLY_MAX_SLOTS + 1, UINT32_MAX}},
        {"slot_stride", 100, 4, {8, ARCLY_SLOT_SIZE - 8, ARCLY_SLOT_SIZE + 8, UINT32_MAX}},
        {"payload_offset", 104, 8, {64, size - 64, size, size + 64, most - 63, most}},
        {"payload_size", 112, 8, {64, ARCLY_MIN_RING - 64, ARCLY_MIN_RING + 1, ARCLY_MIN_RING + 64, most - 63, most}},
        {"max_frame", 120, 8, {ARCLY_MIN_RING / 8 + 1, UINT32_MAX, most}},
    };
    uint64_t random = 8;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int k = 0; k < 8; k++) {
            uint64_t kept = 0;
            if (k && !bad[i].values[k - 1])
                break;
            memcpy(&kept, sound + bad[i].offset, bad[i].size);
            memcpy(sound + bad[i].offset, k ? &bad[i].values[k - 1] : &(uint64_t){0}, bad[i].size);
            sign(sound);
            if (try_region(sound, sound_size, &random) >= 0) {
                fprintf(stderr, "%s accepted as %llu\n", bad[i].name, (unsigned long long)(k ? bad[i].values[k - 1] : 0));
                exit(1);
            }
            memcpy(sound + bad[i].offset, &kept, bad[i].size);
        }
    struct arcly_geometry *g = (struct arcly_geometry *)sound;
    for (int bit = 0; bit < 64; bit++) { /* every incompatible feature is one this build does not know */
        g->features_incompat = UINT64_C(1) << bit;
        sign(sound);
        EQUAL(try_region(sound, sound_size, &random), ARCLY_E_VERSION);
    }
    g->features_incompat = 0;
    g->base_seq = UINT64_C(1) << 62;
    sign(sound);
    EQUAL(try_region(sound, sound_size, &random), ARCLY_E_CORRUPT);
    g->base_seq = 0;
    memset(g->key, 'k', sizeof g->key);
    sign(sound);
    EQUAL(try_region(sound, sound_size, &random), ARCLY_E_CORRUPT);
    memset(g->key, 0, sizeof g->key);
    /* A later minor version, compatible features and reserved bytes are no reason. */
    g->minor = 65535;
    g->features_compat = UINT64_MAX;
    memset(g->reserved, 0xff, sizeof g->reserved);
    memset(g->reserved2, 0xff, sizeof g->reserved2);
    sign(sound);
    EQUAL(try_region(sound, sound_size, &random), ARCLY_OK);
}

/* Any word of the geometry set to anything, checksum right: refused, or every use stays inside. */
static void any_value_of_the_geometry_is_refused_or_harmless(void) {
    uint64_t random = 9, accepted = 0;
    uint8_t header[ARCLY_HEADER_SIZE];
    memcpy(header, sound, sizeof header);
    for (int round = 0; round < 20000; round++) {
        const uint32_t at = 8 + 4 * (uint32_t)(random_u64(&random) % (round % 2 ? 94 : 30));
        uint32_t word;
        memcpy(&word, sound + at, 4);
        switch (random_u64(&random) % 4) {
        case 0: word ^= 1u << random_u64(&random) % 32; break;
        case 1: word += (uint32_t)(random_u64(&random) % 257) - 128; break;
        case 2: word = (uint32_t)random_u64(&random); break;
        default: word = (uint32_t)(random_u64(&random) % sound_size) & ~63u;
        }
        memcpy(sound + at, &word, 4);
        sign(sound);
        accepted += try_region(sound, sound_size, &random) == ARCLY_OK;
        if (round % 3)
            memcpy(sound, header, sizeof header);
    }
    CHECK(accepted > 100);
    memcpy(sound, header, sizeof header);
}

/* Random values in every table while the region is read: a wrong answer is allowed, an access outside is not. */
static void random_words_in_every_table(void) {
    uint8_t *copy = aligned_alloc(ARCLY_PAGE, sound_size);
    const uint64_t slots = ((struct arcly_geometry *)sound)->slot_offset, hot = 512;
    const uint64_t from[] = {hot, 1024, 8192, 270336, slots}, to[] = {1024, 5120, 8192 + 8 * 4096, 270336 + 16 * 128, slots + 32 * 128};
    uint64_t random = 10;
    memcpy(copy, sound, sound_size);
    const struct arcly_region region = attach_block(copy, sound_size);
    for (int round = 0; round < 6000; round++) {
        for (uint64_t n = 1 + random_u64(&random) % 30; n; n--) {
            const int table = random_u64(&random) % 5;
            const uint64_t at = from[table] + 4 * (random_u64(&random) % ((to[table] - from[table]) / 4));
            uint32_t word;
            memcpy(&word, copy + at, 4);
            const uint64_t dice = random_u64(&random);
            word = dice % 4 == 0 ? (uint32_t)(dice >> 20) : dice % 4 == 1 ? word + (uint32_t)(dice >> 8) % 9 - 4
                 : dice % 4 == 2 ? (uint32_t)(dice >> 8) % 130 : UINT32_MAX;
            memcpy(copy + at, &word, 4);
        }
        use(&region, &random);
        struct arcly_writer writer; /* a writer takes what its predecessor left, whatever that is */
        if (round % 4 == 0 && arcly_writer_claim(&writer, &region, (struct arcly_track_spec[]){VIDEO, AUDIO}, 2, 1) == ARCLY_OK)
            for (int i = 0; i < 5; i++) {
                put(&writer, 0, random_u64(&random) % 2048, i, ARCLY_KEY);
                put_config(&writer, 1, 100);
            }
        if (round % 50 == 0)
            memcpy(copy, sound, sound_size);
    }
    free(copy);
}

int main(int argc, char **argv) {
    make_sound();
    const struct test tests[] = {
        {"any_length_is_refused_but_the_whole", any_length_is_refused_but_the_whole},
        {"random_bytes_are_refused", random_bytes_are_refused},
        {"a_header_with_a_wrong_checksum_is_refused", a_header_with_a_wrong_checksum_is_refused},
        {"any_value_of_the_geometry_is_refused_or_harmless", any_value_of_the_geometry_is_refused_or_harmless},
        {"random_words_in_every_table", random_words_in_every_table},
        {"every_bad_value_of_a_field_is_refused", every_bad_value_of_a_field_is_refused},
    };
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
