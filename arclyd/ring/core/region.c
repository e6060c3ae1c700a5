#include "wait.h"

#define HEADER_CRC_FROM 8
#define HEADER_CRC_TO 384

static uint64_t up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

/* Where the parts of a region of this build begin. */
enum {
    TRACKS_AT = ARCLY_HEADER_SIZE,
    CONFIGS_AT = 8192,
    GOPS_AT = CONFIGS_AT + ARCLY_CONFIGS * ARCLY_CONFIG_SIZE,
    SLOTS_AT = GOPS_AT + ARCLY_GOPS * ARCLY_GOP_SIZE,
};
_Static_assert(TRACKS_AT + ARCLY_TRACKS * ARCLY_TRACK_SIZE <= CONFIGS_AT, "tracks fit");

static uint64_t payload_at(uint32_t slots) {
    return up(SLOTS_AT + (uint64_t)slots * ARCLY_SLOT_SIZE, ARCLY_PAGE);
}

uint64_t arcly_region_size(uint64_t ring_bytes, uint32_t slots) {
    if (slots < ARCLY_MIN_SLOTS || slots > ARCLY_MAX_SLOTS)
        return 0;
    if (ring_bytes < ARCLY_MIN_RING || ring_bytes > ARCLY_MAX_RING || ring_bytes % ARCLY_PAGE)
        return 0;
    return payload_at(slots) + ring_bytes;
}

int arcly_format(void *base, const struct arcly_spec *spec) {
    struct arcly_header *header = base;
    struct arcly_geometry *g = &header->geometry;
    uint64_t size = arcly_region_size(spec->ring_bytes, spec->slots);
    size_t key_length = strlen(spec->key);
    if (!size || key_length >= ARCLY_KEY_SIZE || spec->base_seq >> 62)
        return ARCLY_E_ARGUMENT;
    g->major = ARCLY_MAJOR;
    g->minor = ARCLY_MINOR;
    g->header_size = ARCLY_HEADER_SIZE;
    g->features_incompat = 0;
    g->features_compat = spec->crc ? ARCLY_FEATURE_CRC : 0;
    g->region_size = size;
    g->track_offset = TRACKS_AT;
    g->track_count = ARCLY_TRACKS;
    g->track_stride = ARCLY_TRACK_SIZE;
    g->config_offset = CONFIGS_AT;
    g->config_count = ARCLY_CONFIGS;
    g->config_stride = ARCLY_CONFIG_SIZE;
    g->gop_offset = GOPS_AT;
    g->gop_count = ARCLY_GOPS;
    g->gop_stride = ARCLY_GOP_SIZE;
    g->slot_offset = SLOTS_AT;
    g->slot_count = spec->slots;
    g->slot_stride = ARCLY_SLOT_SIZE;
    g->payload_offset = payload_at(spec->slots);
    g->payload_size = spec->ring_bytes;
    g->max_frame = spec->ring_bytes / ARCLY_FRAME_SHARE;
    if (g->max_frame > UINT32_MAX)
        g->max_frame = UINT32_MAX;
    g->base_seq = spec->base_seq;
    g->created_ns = spec->created_ns;
    g->gop_limit_bytes = spec->gop_bytes;
    g->gop_limit_frames = spec->gop_frames;
    g->gop_limit_ms = spec->gop_ms;
    memcpy(g->region_id, spec->region_id, sizeof g->region_id);
    memcpy(g->key, spec->key, key_length);
    arcly_store(header->hot.head, spec->base_seq);
    arcly_store(header->hot.epoch, spec->base_epoch);
    arcly_store(header->hot.config_head, 1);
    g->crc = arcly_crc32c(0, (uint8_t *)base + HEADER_CRC_FROM, HEADER_CRC_TO - HEADER_CRC_FROM);
    arcly_publish_u64(&g->magic, ARCLY_MAGIC);
    return ARCLY_OK;
}

static int refuse(struct arcly_refusal *refusal, int error, const char *field, const char *problem) {
    refusal->field = field;
    refusal->problem = problem;
    return error;
}

/* A table of `count` entries that lies whole, aligned and after the header in the region. */
static bool table_fits(uint64_t offset, uint64_t count, uint64_t stride, uint64_t least, uint64_t most_count,
                       uint64_t size) {
    return count >= 1 && count <= most_count && stride >= least && stride <= (1u << 20) && stride % 8 == 0 &&
           offset >= ARCLY_HEADER_SIZE && offset % 8 == 0 && offset <= size && count * stride <= size - offset;
}

static int check_geometry(const struct arcly_geometry *g, uint64_t size, struct arcly_refusal *refusal) {
    if (arcly_crc32c(0, (const uint8_t *)g + HEADER_CRC_FROM, HEADER_CRC_TO - HEADER_CRC_FROM) != g->crc)
        return refuse(refusal, ARCLY_E_CORRUPT, "crc", "the header does not match its checksum");
    if (g->region_size > size)
        return refuse(refusal, ARCLY_E_CORRUPT, "region_size", "the object is shorter than its header says (truncated)");
    if (g->header_size < ARCLY_HEADER_SIZE || g->header_size > g->region_size)
        return refuse(refusal, ARCLY_E_CORRUPT, "header_size", "out of range");
    if (!table_fits(g->track_offset, g->track_count, g->track_stride, ARCLY_TRACK_SIZE, ARCLY_TRACKS, g->region_size))
        return refuse(refusal, ARCLY_E_CORRUPT, "track table", "does not fit the region");
    if (!table_fits(g->config_offset, g->config_count, g->config_stride, ARCLY_CONFIG_HEADER + 1, ARCLY_MAX_CONFIGS,
                    g->region_size) ||
        g->config_stride > ARCLY_CONFIG_SIZE)
        return refuse(refusal, ARCLY_E_CORRUPT, "configuration records", "do not fit the region");
    if (!table_fits(g->gop_offset, g->gop_count, g->gop_stride, ARCLY_GOP_SIZE, ARCLY_MAX_GOPS, g->region_size))
        return refuse(refusal, ARCLY_E_CORRUPT, "GOP ring", "does not fit the region");
    if (!table_fits(g->slot_offset, g->slot_count, g->slot_stride, ARCLY_SLOT_SIZE, ARCLY_MAX_SLOTS, g->region_size))
        return refuse(refusal, ARCLY_E_CORRUPT, "slots", "do not fit the region");
    if (g->payload_size < ARCLY_MIN_RING || g->payload_size % ARCLY_ALIGN || g->payload_offset % ARCLY_ALIGN ||
        g->payload_offset < ARCLY_HEADER_SIZE || g->payload_offset > g->region_size ||
        g->payload_size > g->region_size - g->payload_offset)
        return refuse(refusal, ARCLY_E_CORRUPT, "payload ring", "does not fit the region");
    if (g->max_frame == 0 || g->max_frame > g->payload_size / ARCLY_FRAME_SHARE || g->max_frame > UINT32_MAX)
        return refuse(refusal, ARCLY_E_CORRUPT, "max_frame", "out of range");
    if (g->track_stride != ARCLY_TRACK_SIZE || g->gop_stride != ARCLY_GOP_SIZE || g->slot_stride != ARCLY_SLOT_SIZE ||
        g->config_stride != ARCLY_CONFIG_SIZE)
        return refuse(refusal, ARCLY_E_VERSION, "strides", "larger than those of this build");
    if (g->base_seq >> 62)
        return refuse(refusal, ARCLY_E_CORRUPT, "base_seq", "out of range");
    if (!memchr(g->key, 0, sizeof g->key))
        return refuse(refusal, ARCLY_E_CORRUPT, "key", "is not terminated");
    return ARCLY_OK;
}

int arcly_attach(struct arcly_region *region, void *base, uint64_t size, struct arcly_refusal *refusal) {
    struct arcly_geometry copy;
    if (size < ARCLY_HEADER_SIZE)
        return refuse(refusal, ARCLY_E_CORRUPT, "size", size ? "shorter than a header" : "the object is empty");
    struct arcly_header *header = base;
    if (arcly_acquire_u64(&header->geometry.magic) != ARCLY_MAGIC)
        return refuse(refusal, ARCLY_E_CORRUPT, "magic", "this is no arclyd region, or one that is still being made");
    memcpy(&copy, &header->geometry, sizeof copy);
    region->major = copy.major;
    region->minor = copy.minor;
    if (copy.major != ARCLY_MAJOR)
        return refuse(refusal, ARCLY_E_VERSION, "major", "another major version");
    if (copy.features_incompat & ~ARCLY_FEATURES_KNOWN)
        return refuse(refusal, ARCLY_E_VERSION, "features_incompat", "a feature this build does not know");
    int error = check_geometry(&copy, size, refusal);
    if (error)
        return error;
    region->base = base;
    region->size = copy.region_size;
    region->header = header;
    region->tracks = (struct arcly_track *)(region->base + copy.track_offset);
    region->configs = (struct arcly_config *)(region->base + copy.config_offset);
    region->gops = (struct arcly_gop *)(region->base + copy.gop_offset);
    region->slots = (struct arcly_slot *)(region->base + copy.slot_offset);
    region->payload = region->base + copy.payload_offset;
    region->payload_size = copy.payload_size;
    region->max_frame = copy.max_frame;
    region->base_seq = copy.base_seq;
    region->created_ns = copy.created_ns;
    region->gop_limit_bytes = copy.gop_limit_bytes;
    region->gop_limit_frames = copy.gop_limit_frames;
    region->gop_limit_ms = copy.gop_limit_ms;
    region->slot_count = copy.slot_count;
    region->gop_count = copy.gop_count;
    region->track_count = copy.track_count;
    region->config_count = copy.config_count;
    region->max_config = copy.config_stride - ARCLY_CONFIG_HEADER;
    region->crc = copy.features_compat & ARCLY_FEATURE_CRC;
    memcpy(region->region_id, copy.region_id, sizeof region->region_id);
    memcpy(region->key, copy.key, sizeof region->key);
    return ARCLY_OK;
}

int arcly_read(const struct arcly_region *region, uint64_t seq, struct arcly_frame *frame) {
    if (seq < region->base_seq)
        return ARCLY_E_LAPPED; /* of an earlier region of the stream */
    if (seq >> 62)
        return ARCLY_NOTHING; /* no writer gets there, and 2 * seq + 2 must not come round */
    const struct arcly_slot *slot = &region->slots[seq % region->slot_count];
    const uint64_t here = 2 * seq + 2;
    uint64_t word = arcly_acquire_u64(&slot->word); /* P2 */
    if (word < here && arcly_acquire_u64(&region->header->hot.head) > seq) { /* P3: then the slot must be there too */
        word = arcly_acquire_u64(&slot->word);
        if (word < here)
            return ARCLY_E_CORRUPT;
    }
    if (word != here)
        return word < here ? ARCLY_NOTHING : ARCLY_E_LAPPED;
    ARCLY_FAULT("read.word");
    frame->seq = seq;
    frame->pos = arcly_load(slot->pos);
    frame->size = arcly_load(slot->size);
    frame->track = arcly_load(slot->track);
    frame->flags = arcly_load(slot->flags);
    frame->pts = arcly_load(slot->pts);
    frame->dts = arcly_load(slot->dts);
    frame->duration = arcly_load(slot->duration);
    frame->capture_ns = arcly_load(slot->capture_ns);
    frame->publish_ns = arcly_load(slot->publish_ns);
    frame->join_seq = arcly_load(slot->join_seq);
    frame->bytes_before = arcly_load(slot->bytes_before);
    frame->epoch = arcly_load(slot->epoch);
    frame->config_gen = arcly_load(slot->config_gen);
    frame->crc = arcly_load(slot->crc);
    ARCLY_FAULT("read.fields");
    arcly_check_fence(); /* P1 */
    ARCLY_FAULT("read.fence");
    if (arcly_load(slot->word) != here)
        return ARCLY_E_LAPPED;
    ARCLY_FAULT("read.checked");
    const uint64_t watermark = arcly_load(region->header->hot.reserved_pos);
    const uint64_t offset = frame->pos % region->payload_size;
    if (frame->size > region->max_frame || offset + frame->size > region->payload_size ||
        frame->track >= region->track_count || frame->pos > watermark || frame->size > watermark - frame->pos)
        return ARCLY_E_CORRUPT;
    if (watermark - frame->pos > region->payload_size)
        return ARCLY_E_LAPPED;
    frame->data = region->payload + offset;
    return ARCLY_OK;
}

/* Held frames are a run that ends at the head, so its start is found by halving. */
uint64_t arcly_oldest(const struct arcly_region *region) {
    const uint64_t head = arcly_acquire_u64(&region->header->hot.head);
    if (head <= region->base_seq)
        return head;
    const uint64_t published = head - region->base_seq;
    uint64_t low = published > region->slot_count ? head - region->slot_count : region->base_seq;
    uint64_t high = head;
    while (low < high) {
        struct arcly_frame frame;
        const uint64_t middle = low + (high - low) / 2;
        if (arcly_read(region, middle, &frame) == ARCLY_OK)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int arcly_track_read(const struct arcly_region *region, uint32_t id, struct arcly_track_copy *copy) {
    /* A first claim that was not finished counts for nothing; a finished one has settled what the tracks are. */
    if (id >= region->track_count || arcly_acquire_u32(&region->header->hot.state) == ARCLY_NEW) /* P5 */
        return ARCLY_NOTHING;
    const struct arcly_track *track = &region->tracks[id];
    copy->torn = true;
    for (int left = 1000; left-- && copy->torn;) {
        const uint64_t word = arcly_acquire_u64(&track->word);
        if (word & 1 && left) /* with none left it is taken as it stands */
            continue;
        copy->kind = arcly_load(track->kind);
        copy->codec = arcly_load(track->codec);
        copy->num = arcly_load(track->time_base_num);
        copy->den = arcly_load(track->time_base_den);
        copy->width = arcly_load(track->width);
        copy->height = arcly_load(track->height);
        copy->sample_rate = arcly_load(track->sample_rate);
        copy->channels = arcly_load(track->channels);
        copy->config_gen = arcly_load(track->config_gen);
        ARCLY_FAULT("track_read.fields");
        arcly_check_fence();
        ARCLY_FAULT("track_read.fence");
        copy->torn = word & 1 || arcly_load(track->word) != word;
    }
    if (copy->num == 0)
        return ARCLY_NOTHING;
    if (copy->den == 0 || copy->kind > ARCLY_DATA)
        return ARCLY_E_CORRUPT;
    copy->frames = arcly_load(track->frames);
    copy->bytes = arcly_load(track->bytes);
    copy->keyframes = arcly_load(track->keyframes);
    copy->configs = arcly_load(track->configs);
    copy->last_publish_ns = arcly_load(track->last_publish_ns);
    copy->last_pts = arcly_load(track->last_pts);
    copy->last_dts = arcly_load(track->last_dts);
    return ARCLY_OK;
}

int arcly_config_read(const struct arcly_region *region, uint64_t generation, struct arcly_config_copy *copy) {
    if (generation == 0 || generation >> 62)
        return ARCLY_NOTHING;
    const struct arcly_config *record = &region->configs[generation % region->config_count];
    const uint64_t here = 2 * generation;
    const uint64_t word = arcly_acquire_u64(&record->word);
    if (word != here)
        return word < here ? ARCLY_NOTHING : ARCLY_E_LAPPED;
    copy->generation = generation;
    copy->seq = arcly_load(record->seq);
    copy->track = arcly_load(record->track);
    copy->size = arcly_load(record->size);
    if (copy->size <= region->max_config)
        arcly_copy_out(copy->data, record->data, copy->size);
    ARCLY_FAULT("config_read.fields");
    arcly_check_fence();
    ARCLY_FAULT("config_read.fence");
    if (arcly_load(record->word) != here)
        return ARCLY_E_LAPPED;
    return copy->size > region->max_config || copy->track >= region->track_count ? ARCLY_E_CORRUPT : ARCLY_OK;
}

/* Whether frame seq, there or to come, is of the newest writer: the track table is that writer's. */
static bool of_newest_writer(const struct arcly_region *region, uint64_t seq) {
    struct arcly_frame frame;
    return arcly_read(region, seq, &frame) != ARCLY_OK || frame.epoch == arcly_load(region->header->hot.epoch);
}

/* Whether frames of that track from seq on can't be decoded without a configuration from before seq. */
static bool needs_config(const struct arcly_region *region, uint32_t track, uint64_t seq) {
    struct arcly_frame frame;
    for (uint64_t s = seq; s < seq + ARCLY_LOOKBACK && arcly_read(region, s, &frame) == ARCLY_OK; s++)
        if (frame.track == track)
            return frame.config_gen && !(frame.flags & ARCLY_CONFIG);
    return false;
}

int arcly_config_at(const struct arcly_region *region, uint32_t track, uint64_t seq, struct arcly_config_copy *copy) {
    struct arcly_track_copy has = {0};
    const int there = arcly_track_read(region, track, &has);
    const bool none_now = there == ARCLY_NOTHING || (there == ARCLY_OK && !has.torn && has.config_gen == 0);
    if (none_now && of_newest_writer(region, seq))
        return ARCLY_NOTHING;
    ARCLY_FAULT("config_at.track");
    const uint64_t next = arcly_acquire_u64(&region->header->hot.config_head);
    ARCLY_FAULT("config_at.head");
    const uint64_t kept = next > region->config_count ? next - region->config_count : 1;
    bool gone = kept > 1;
    for (uint64_t generation = next; generation-- > kept;) {
        const int found = arcly_config_read(region, generation, copy);
        if (found == ARCLY_E_LAPPED) {
            gone = true; /* and so are older ones */
            break;
        }
        if (found == ARCLY_E_CORRUPT)
            return found;
        if (found == ARCLY_OK && copy->track == track && copy->seq < seq)
            return ARCLY_OK;
    }
    /* Once old records are overwritten "gone" and "never had one" look the same, but for what the track table says or,
     * of an earlier writer's tracks, what its frames say. */
    return gone && (!none_now || needs_config(region, track, seq)) ? ARCLY_E_LAPPED : ARCLY_NOTHING;
}

__extension__ typedef __int128 wide; /* 63 + 32 + 30 bits do not fit less */

int64_t arcly_ticks_to_ns(int64_t value, uint32_t num, uint32_t den) {
    const wide ns = (wide)value * num * 1000000000 / (den ? den : 1);
    return ns > INT64_MAX ? INT64_MAX : ns < INT64_MIN ? INT64_MIN : (int64_t)ns;
}

static int gop_entry(const struct arcly_region *region, uint64_t number, struct arcly_gop_copy *copy) {
    if (number >> 62)
        return ARCLY_NOTHING; /* as with sequences: the words must not come round */
    const struct arcly_gop *entry = &region->gops[number % region->gop_count];
    const uint64_t here = 2 * number + 2;
    const uint64_t word = arcly_acquire_u64(&entry->word);
    if (word != here)
        return word < here ? ARCLY_NOTHING : ARCLY_E_LAPPED;
    copy->number = number;
    copy->key_seq = arcly_load(entry->key_seq);
    copy->join_seq = arcly_load(entry->join_seq);
    copy->join_pos = arcly_load(entry->join_pos);
    copy->pts = arcly_load(entry->pts);
    copy->bytes_before = arcly_load(entry->bytes_before);
    copy->publish_ns = arcly_load(entry->publish_ns);
    copy->track = arcly_load(entry->track);
    copy->epoch = arcly_load(entry->epoch);
    ARCLY_FAULT("gop_read.fields");
    arcly_check_fence();
    ARCLY_FAULT("gop_read.fence");
    if (arcly_load(entry->word) != here)
        return ARCLY_E_LAPPED;
    if (copy->join_seq > copy->key_seq || copy->join_seq < region->base_seq || copy->track >= region->track_count ||
        copy->key_seq - copy->join_seq > region->slot_count || copy->key_seq >> 62)
        return ARCLY_E_CORRUPT;
    return ARCLY_OK;
}

static uint64_t media_ns(const struct arcly_region *region, uint32_t id, int64_t from, int64_t to) {
    struct arcly_track_copy track;
    if (to <= from || arcly_track_read(region, id, &track))
        return 0;
    const uint64_t ticks = (uint64_t)to - (uint64_t)from; /* up to twice what an int64_t holds */
    return (uint64_t)arcly_ticks_to_ns(ticks > INT64_MAX ? INT64_MAX : (int64_t)ticks, track.num, track.den);
}

int arcly_gop_read(const struct arcly_region *region, uint64_t number, struct arcly_gop_copy *copy) {
    const struct arcly_header *header = region->header;
    int error = gop_entry(region, number, copy);
    if (error)
        return error;
    struct arcly_gop_copy next;
    uint64_t until = arcly_acquire_u64(&header->hot.head);
    uint64_t bytes = arcly_load(header->counters.total_bytes);
    int64_t last_pts = arcly_load(header->hot.gop_last_pts);
    const uint64_t head = until;
    if (arcly_acquire_u64(&header->hot.gop_head) > number + 1 && gop_entry(region, number + 1, &next) == ARCLY_OK) {
        until = next.join_seq;
        bytes = next.bytes_before;
        last_pts = next.epoch == copy->epoch ? next.pts : copy->pts;
    }
    ARCLY_FAULT("gop_read.entry");
    const uint64_t watermark = arcly_load(header->hot.reserved_pos);
    copy->frames = until > copy->join_seq ? until - copy->join_seq : 0;
    copy->bytes = bytes > copy->bytes_before ? bytes - copy->bytes_before : 0;
    copy->duration_ns = media_ns(region, copy->track, copy->pts, last_pts);
    copy->whole = head - copy->join_seq <= region->slot_count && watermark - copy->join_pos <= region->payload_size;
    struct arcly_frame key; /* sound may run so far ahead that the start of it is gone before its picture is there */
    copy->intact = copy->whole || arcly_read(region, copy->key_seq, &key) == ARCLY_OK;
    copy->joinable = copy->intact && !(region->gop_limit_frames && copy->frames > region->gop_limit_frames) &&
                     !(region->gop_limit_bytes && copy->bytes > region->gop_limit_bytes) &&
                     !(region->gop_limit_ms && copy->duration_ns / 1000000 > region->gop_limit_ms);
    return ARCLY_OK;
}

void arcly_daemon_close(const struct arcly_region *region, uint32_t closed) {
    arcly_publish_u32(&region->header->daemon.closed, closed);
    arcly_wake(region);
}
