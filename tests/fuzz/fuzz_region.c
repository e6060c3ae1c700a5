/* fuzz_region.c - the core over a region whose every word an attacker chooses, also while it is read.
 *
 * The input is a little program: edits of a sound region, and calls of the core between them. A geometry is signed
 * anew before it is attached, so that its checks are met and not only its checksum. The region fills its block to the
 * last byte: AddressSanitizer sees an access outside of it, the CHECKs see a promise of ring.h that is broken.
 *
 * With libFuzzer it is the fuzz target; with -DREPLAY a program that runs the files it is given.
 */
#include <stdio.h>
#include <stdlib.h>

#include "wait.h"

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

/* A small geometry: whatever an edit hits is something that is read. */
enum {
    TRACKS = 3,
    CONFIGS = 3,
    GOPS = 4,
    SLOTS = 8,
    TRACKS_FROM = ARCLY_HEADER_SIZE,
    CONFIGS_FROM = TRACKS_FROM + TRACKS * ARCLY_TRACK_SIZE,
    GOPS_FROM = CONFIGS_FROM + CONFIGS * ARCLY_CONFIG_SIZE,
    SLOTS_FROM = GOPS_FROM + GOPS * ARCLY_GOP_SIZE,
    PAYLOAD_FROM = SLOTS_FROM + SLOTS * ARCLY_SLOT_SIZE,
    SIZE = PAYLOAD_FROM + ARCLY_MIN_RING,
    READERS = 3,
    MOST_STEPS = 200,
};

static const struct arcly_track_spec DECLARED[] = {
    {.kind = ARCLY_VIDEO, .codec = 1, .num = 1, .den = 90000, .width = 640, .height = 360},
    {.kind = ARCLY_AUDIO, .codec = 5, .num = 1, .den = 48000, .sample_rate = 48000, .channels = 2},
    {.kind = ARCLY_DATA, .codec = 9, .num = 1, .den = 1000},
};

struct input {
    const uint8_t *at, *end;
};

static uint64_t take(struct input *in, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes && in->at < in->end; i++)
        value |= (uint64_t)*in->at++ << (8 * i);
    return value;
}

/* A 64-bit value from two to nine bytes: near a multiple of 2^k, so that edges are cheap to write. */
static uint64_t take_value(struct input *in) {
    const uint8_t form = (uint8_t)take(in, 1);
    const int64_t small = (int8_t)take(in, 1);
    switch (form >> 6) {
    case 0: return (uint64_t)small;
    case 1: return (UINT64_C(1) << (form & 63)) + (uint64_t)small;
    case 2: return take(in, 4);
    default: return take(in, 8);
    }
}

/* ------------------------------------------------------------------ region */

static uint8_t sound[SIZE]; /* two GOPs of three tracks, their configurations, lapped once */

static void sign(void *base) {
    struct arcly_geometry *g = base;
    g->crc = arcly_crc32c(0, (uint8_t *)base + 8, 376);
}

static void format(uint8_t *base) {
    struct arcly_header *header = (struct arcly_header *)base;
    header->geometry = (struct arcly_geometry){
        .major = ARCLY_MAJOR, .minor = ARCLY_MINOR, .header_size = ARCLY_HEADER_SIZE, .region_size = SIZE,
        .track_offset = TRACKS_FROM, .track_count = TRACKS, .track_stride = ARCLY_TRACK_SIZE,
        .config_offset = CONFIGS_FROM, .config_count = CONFIGS, .config_stride = ARCLY_CONFIG_SIZE,
        .gop_offset = GOPS_FROM, .gop_count = GOPS, .gop_stride = ARCLY_GOP_SIZE,
        .slot_offset = SLOTS_FROM, .slot_count = SLOTS, .slot_stride = ARCLY_SLOT_SIZE,
        .payload_offset = PAYLOAD_FROM, .payload_size = ARCLY_MIN_RING, .max_frame = ARCLY_MIN_RING / ARCLY_FRAME_SHARE,
        .features_compat = ARCLY_FEATURE_CRC, .key = "live/fuzz"};
    arcly_store(header->hot.config_head, 1);
    sign(base);
    arcly_publish_u64(&header->geometry.magic, ARCLY_MAGIC);
}

static void write_frame(struct arcly_writer *writer, uint32_t track, uint64_t size, const struct arcly_meta *meta) {
    const struct arcly_region *region = writer->region;
    uint8_t *payload = NULL;
    if (arcly_writer_reserve(writer, track, size, &payload) != ARCLY_OK)
        return;
    CHECK(payload >= region->payload && payload + size <= region->payload + region->payload_size);
    memset(payload, (int)size, size);
    arcly_writer_commit(writer, size, meta);
}

static void make_sound(void) {
    static _Alignas(ARCLY_ALIGN) uint8_t base[SIZE];
    struct arcly_region region;
    struct arcly_refusal refusal;
    struct arcly_writer writer;
    format(base);
    CHECK(arcly_attach(&region, base, SIZE, &refusal) == ARCLY_OK);
    CHECK(arcly_writer_claim(&writer, &region, DECLARED, 3, 1) == ARCLY_OK);
    const struct arcly_meta meta = {.publish_ns = 5};
    arcly_writer_set_config(&writer, 0, "video", 5, 0, 0, &meta);
    arcly_writer_set_config(&writer, 1, "audio", 5, 0, 0, &meta);
    for (int i = 0; i < 12; i++)
        write_frame(&writer, (uint32_t)i % 3, 40 + (uint64_t)i,
                    &(struct arcly_meta){.pts = i * 900, .dts = i * 900, .publish_ns = 10 + (uint64_t)i,
                                         .flags = i % 6 ? 0 : ARCLY_KEY});
    memcpy(sound, base, SIZE);
}

/* --------------------------------------------------------------------- use */

static uint64_t sum; /* what is read is used, so that it is read */

static void touch(const struct arcly_region *region, const struct arcly_frame *frame) {
    CHECK(frame->size <= region->max_frame && frame->track < region->track_count);
    CHECK(frame->data >= region->base && frame->data + frame->size <= region->base + region->size);
    sum += arcly_crc32c(0, frame->data, frame->size) + arcly_intact(region, frame->pos);
}

static void touch_config(const struct arcly_region *region, const struct arcly_config_copy *config) {
    CHECK(config->size <= region->max_config && config->size <= sizeof config->data);
    CHECK(config->track < region->track_count);
    sum += arcly_crc32c(0, config->data, config->size);
}

static void look_at_everything(const struct arcly_region *region) {
    static struct arcly_config_copy config;
    struct arcly_frame frame;
    struct arcly_gop_copy gop;
    struct arcly_track_copy track;
    const uint64_t oldest = arcly_oldest(region), gops = arcly_load(region->header->hot.gop_head);
    const uint64_t configs = arcly_load(region->header->hot.config_head);
    for (uint64_t seq = oldest - 1; seq != oldest + SLOTS + 1; seq++)
        if (arcly_read(region, seq, &frame) == ARCLY_OK)
            touch(region, &frame);
    for (uint32_t id = 0; id <= region->track_count; id++) {
        if (arcly_track_read(region, id, &track) == ARCLY_OK)
            CHECK(track.num && track.den && track.kind <= ARCLY_DATA);
        if (arcly_config_at(region, id, oldest + 4, &config) == ARCLY_OK)
            touch_config(region, &config);
    }
    for (uint64_t n = gops - GOPS - 1; n != gops + 1; n++)
        if (arcly_gop_read(region, n, &gop) == ARCLY_OK) {
            CHECK(gop.join_seq <= gop.key_seq && gop.track < region->track_count);
            CHECK(gop.duration_ns <= INT64_MAX);
            CHECK(!gop.joinable || gop.intact);
        }
    for (uint64_t n = configs - CONFIGS - 1; n != configs + 1; n++)
        if (arcly_config_read(region, n, &config) == ARCLY_OK)
            touch_config(region, &config);
}

static void read_on(struct arcly_reader *reader, int steps, uint64_t now_ns) {
    static struct arcly_item item;
    for (int i = 0; i < steps; i++) {
        const uint64_t missed = reader->missed;
        switch (arcly_reader_next(reader, &item, now_ns)) {
        case ARCLY_GOT_FRAME:
            touch(reader->region, &item.frame);
            CHECK(reader->track_mask >> item.frame.track & 1);
            break;
        case ARCLY_GOT_CONFIG:
            touch_config(reader->region, &item.config);
            CHECK(item.frame.data == item.config.data && item.frame.size == item.config.size);
            break;
        case ARCLY_GOT_GAP:
            CHECK(reader->missed == missed + item.missed && item.missed <= item.resumed_at);
            break;
        case ARCLY_OVER: CHECK(reader->closed); return;
        case ARCLY_NOTHING: return;
        case ARCLY_E_CORRUPT: return;
        default: CHECK(!"an answer that arcly_reader_next does not give");
        }
    }
}

/* ----------------------------------------------------------------- program */

struct world {
    uint8_t *base;
    struct arcly_region region;
    struct arcly_reader readers[READERS];
    struct arcly_writer writer;
    bool writing;
};

/* Where an edit goes: a word of the part that the next byte names. */
static uint64_t take_place(struct input *in) {
    static const uint32_t from[] = {0, 512, 768, 896, TRACKS_FROM, CONFIGS_FROM, GOPS_FROM, SLOTS_FROM};
    static const uint32_t words[] = {100, 32, 8, 16, TRACKS * 64, 8, GOPS * 32, SLOTS * 32};
    const uint8_t part = (uint8_t)take(in, 1) % 8;
    const uint32_t word = (uint32_t)take(in, 1);
    const uint32_t record = part == 5 ? word / 8 % CONFIGS * ARCLY_CONFIG_SIZE : 0;
    return from[part] + record + word % words[part] * 4;
}

static void edit(struct world *world, struct input *in) {
    const uint8_t form = (uint8_t)take(in, 1);
    const uint64_t place = take_place(in);
    uint64_t value = take_value(in), now = 0;
    const size_t size = (size_t)1 << form % 4;
    memcpy(&now, world->base + place, size);
    if (form & 0x40)
        value += now;
    if (form & 0x80)
        value ^= now;
    memcpy(world->base + place, &value, size);
}

static bool attach(struct world *world, bool signed_anew) {
    struct arcly_region region;
    struct arcly_refusal refusal = {NULL, NULL};
    if (signed_anew)
        sign(world->base);
    const int error = arcly_attach(&region, world->base, SIZE, &refusal);
    if (error) {
        CHECK(error == ARCLY_E_CORRUPT || error == ARCLY_E_VERSION);
        CHECK(refusal.field && refusal.problem);
        return false;
    }
    CHECK(memchr(region.key, 0, sizeof region.key));
    world->region = region;
    world->writing = false;
    for (int i = 0; i < READERS; i++)
        arcly_reader_init(&world->readers[i], &world->region, ARCLY_FROM_KEYFRAME, 0, i, UINT32_MAX);
    return true;
}

static void start_reader(struct world *world, struct input *in) {
    const uint8_t which = (uint8_t)take(in, 1), how = (uint8_t)take(in, 1);
    const uint64_t value = take_value(in);
    arcly_reader_init(&world->readers[which % READERS], &world->region, (enum arcly_start)(how % 5), value, how & 0x80,
                      how & 0x40 ? 1 : UINT32_MAX);
}

static void write_on(struct world *world, struct input *in) {
    const uint8_t how = (uint8_t)take(in, 1), track = (uint8_t)take(in, 1);
    const uint64_t size = take(in, 2);
    const struct arcly_meta meta = {.pts = (int64_t)take_value(in), .dts = (int64_t)take_value(in), .publish_ns = size,
                                    .flags = how & (ARCLY_KEY | ARCLY_DISCONTINUITY | ARCLY_DROPPABLE | ARCLY_CORRUPT)};
    static const uint8_t bytes[ARCLY_CONFIG_SIZE];
    if (how & 0x80)
        arcly_writer_set_config(&world->writer, track, bytes, size % (sizeof bytes + 1), how & 2, how & 4, &meta);
    else
        write_frame(&world->writer, track, size, &meta);
}

static void step(struct world *world, struct input *in) {
    const uint8_t op = (uint8_t)take(in, 1);
    switch (op % 10) {
    case 0:
    case 1:
    case 2: edit(world, in); break;
    case 3:
    case 4: read_on(&world->readers[op / 10 % READERS], 1 + op / 30, take_value(in)); break;
    case 5: look_at_everything(&world->region); break;
    case 6: start_reader(world, in); break;
    case 7: attach(world, op & 0x80); break;
    case 8:
        world->writing = arcly_writer_claim(&world->writer, &world->region, DECLARED + op / 10 % 3,
                                            3 - (uint32_t)op / 10 % 3, 1) == ARCLY_OK;
        break;
    default:
        if (world->writing)
            write_on(world, in);
        else
            arcly_daemon_close(&world->region, (uint32_t)take_value(in));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct world world;
    struct input in = {data, data + size};
    if (!arcly_load(((struct arcly_header *)sound)->geometry.magic))
        make_sound();
    world.base = aligned_alloc(ARCLY_ALIGN, SIZE);
    CHECK(world.base);
    memcpy(world.base, sound, SIZE);
    attach(&world, false);
    for (int i = 0; i < MOST_STEPS && in.at < in.end; i++)
        step(&world, &in);
    look_at_everything(&world.region);
    for (int i = 0; i < READERS; i++)
        read_on(&world.readers[i], 40, 1000);
    free(world.base);
    return 0;
}

#ifdef REPLAY
int main(int argc, char **argv) {
    static uint8_t bytes[1 << 16];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        CHECK(file);
        fprintf(stderr, "%s\n", argv[i]); /* the last name is the one that failed */
        LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof bytes, file));
        fclose(file);
    }
    printf("replayed %d\n", argc - 1);
    return 0;
}
#endif
