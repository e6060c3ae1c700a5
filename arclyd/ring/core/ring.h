/* ring.h - one writer, any number of read-only readers, one region a stream.
 *
 * A *region* is one object of shared memory: header, track table, decoder
 * configurations, GOP ring (join points), slots (one a frame), payload ring.
 * layout.h has its bytes, shm_layout.md the contract and the argument.
 *
 * A *position* is an absolute byte number of the payload ring; it never
 * decreases, and position p lies at offset p % payload_size. A payload is
 * contiguous: one that would run past the ring's end starts over at offset 0 and
 * the bytes left are padding. Skipping was chosen over mapping the ring twice:
 * one bounds check, no dependence on the page size, any language can read it.
 *
 * The *watermark* (hot.reserved_pos) is where the writer may have written up to.
 * The bytes of [pos, pos + size) are those that were published as long as
 * watermark - pos <= payload_size.
 *
 * A *sequence* numbers a frame. Frame s stands in slot s % slot_count, whose word
 * is 2s + 1 while the frame is written and 2s + 2 once it is there; so one load
 * tells "not yet" (smaller), "here" and "lapped" (larger) apart.
 *
 * What a reader does, lapped branch included:
 *
 *     for (;;) {
 *         uint32_t sampled = arcly_wake_sample(region);
 *         switch (arcly_reader_next(&reader, &item, now_ns)) {
 *         case ARCLY_GOT_FRAME:                  // item.frame, a view
 *             use(item.frame.data, item.frame.size);
 *             if (!arcly_intact(region, item.frame.pos))
 *                 discard();                     // overwritten while in use
 *             break;
 *         case ARCLY_GOT_CONFIG: ...             // item.frame, bytes in item.config
 *         case ARCLY_GOT_GAP: ...                // item.missed frames lost, goes on at item.resumed_at
 *         case ARCLY_NOTHING:
 *             arcly_wait(region, sampled, timeout_ns);
 *             break;
 *         case ARCLY_OVER: return reader.closed; // an arcly_closed word
 *         default: ...                           // ARCLY_E_CORRUPT
 *         }
 *     }
 *
 * No function here allocates, blocks or takes a lock; none trusts a value of the
 * region before it was checked against the private copy of the geometry made at
 * attach. Errors are negative.
 */
#ifndef ARCLY_RING_H
#define ARCLY_RING_H

#include <stdbool.h>

#include "layout.h"

enum {
    ARCLY_OK = 0,
    ARCLY_GOT_FRAME = 1,
    ARCLY_GOT_CONFIG = 2,
    ARCLY_GOT_GAP = 3,
    ARCLY_NOTHING = 4, /* not yet: wait and try again */
    ARCLY_OVER = 5,    /* nothing more will come */
    ARCLY_GATED = 6,   /* not published: a re-claimed stream awaits its keyframe */

    ARCLY_E_LAPPED = -1,    /* overwritten */
    ARCLY_E_CORRUPT = -2,   /* the region contradicts itself */
    ARCLY_E_VERSION = -3,   /* a region of another layout */
    ARCLY_E_TOO_LARGE = -4, /* above max_frame, or the configuration record */
    ARCLY_E_REPLACED = -5,  /* another epoch was granted */
    ARCLY_E_CLOSED = -6,    /* the stream was closed, or this writer was */
    ARCLY_E_ARGUMENT = -7,  /* no such track, no such span */
    ARCLY_E_TRACKS = -8,    /* a claim of other tracks than the region's */
};

/* ------------------------------------------------------------------ region */

struct arcly_spec {
    const char *key; /* at most ARCLY_KEY_SIZE - 1 bytes */
    uint64_t ring_bytes; /* whole pages */
    uint32_t slots;
    uint64_t base_seq;
    uint32_t base_epoch;
    uint32_t gop_frames, gop_ms;
    uint64_t gop_bytes;
    bool crc;
    uint64_t created_ns;
    uint8_t region_id[16];
};

/* A process's handle on a mapped region. The geometry is a private copy: the
 * region's own can change under a reader, this one can't. */
struct arcly_region {
    uint8_t *base;
    uint64_t size;
    struct arcly_header *header;
    struct arcly_track *tracks;
    struct arcly_config *configs;
    struct arcly_gop *gops;
    struct arcly_slot *slots;
    uint8_t *payload;
    uint64_t payload_size, max_frame, base_seq, created_ns;
    uint64_t gop_limit_bytes;
    uint32_t gop_limit_frames, gop_limit_ms;
    uint32_t slot_count, gop_count, track_count, config_count;
    uint32_t max_config;
    uint16_t major, minor;
    bool crc;
    uint8_t region_id[16];
    char key[ARCLY_KEY_SIZE];
};

/* Why attach refused: the first field that is wrong, and how. */
struct arcly_refusal {
    const char *field;
    const char *problem;
};

/* Bytes of a region with that payload ring and that many slots; 0: out of range. */
uint64_t arcly_region_size(uint64_t ring_bytes, uint32_t slots);

/* Write an empty region of arcly_region_size bytes at base. The magic goes last.
 * Assumes zeroed memory of that size. ARCLY_E_ARGUMENT: spec out of range. */
int arcly_format(void *base, const struct arcly_spec *spec);

/* Check the header of the size bytes at base and fill *region.
 * ARCLY_E_CORRUPT, ARCLY_E_VERSION, with *refusal set. */
int arcly_attach(struct arcly_region *region, void *base, uint64_t size, struct arcly_refusal *refusal);

/* A frame as read from its slot; `data` points into the region. */
struct arcly_frame {
    uint64_t seq, pos, capture_ns, publish_ns, join_seq, bytes_before;
    int64_t pts, dts, duration;
    const uint8_t *data;
    uint32_t size, epoch, config_gen, crc;
    uint16_t track, flags;
};

/* Frame seq, if it is there: ARCLY_OK, ARCLY_NOTHING (not yet), ARCLY_E_LAPPED, ARCLY_E_CORRUPT. */
int arcly_read(const struct arcly_region *region, uint64_t seq, struct arcly_frame *frame);

/* True: every byte loaded so far from the payload at pos is the one published there. */
static inline bool arcly_intact(const struct arcly_region *region, uint64_t pos) {
    arcly_check_fence();
    ARCLY_FAULT("intact.fence");
    return arcly_load(region->header->hot.reserved_pos) - pos <= region->payload_size;
}

/* The oldest sequence still in the ring; head, where there is none. */
uint64_t arcly_oldest(const struct arcly_region *region);

struct arcly_track_copy {
    uint32_t kind, codec, num, den, width, height, sample_rate, channels, config_gen;
    uint64_t frames, bytes, keyframes, configs, last_publish_ns;
    int64_t last_pts, last_dts;
    bool torn; /* a writer stands, or died, inside the entry: width to config_gen are each of before or after */
};

/* Track id: ARCLY_OK, ARCLY_NOTHING (no such track, or no claim was finished so far), ARCLY_E_CORRUPT. Kind, codec and
 * time base stay what the region's first writer made them, so they are right in a torn entry, too. */
int arcly_track_read(const struct arcly_region *region, uint32_t id, struct arcly_track_copy *copy);

struct arcly_config_copy {
    uint64_t generation, seq;
    uint32_t track, size;
    uint8_t data[ARCLY_CONFIG_SIZE];
};

/* Configuration `generation`: ARCLY_OK, ARCLY_NOTHING, ARCLY_E_LAPPED, ARCLY_E_CORRUPT. */
int arcly_config_read(const struct arcly_region *region, uint64_t generation, struct arcly_config_copy *copy);

/* The configuration in force on `track` just before frame seq: ARCLY_OK; ARCLY_NOTHING: the track had none;
 * ARCLY_E_LAPPED: it had one whose record is gone. */
int arcly_config_at(const struct arcly_region *region, uint32_t track, uint64_t seq, struct arcly_config_copy *copy);

struct arcly_gop_copy {
    uint64_t number, key_seq, join_seq, join_pos, bytes_before, publish_ns;
    int64_t pts;
    uint32_t track, epoch;
    /* derived, from what follows it */
    uint64_t frames, bytes, duration_ns;
    bool intact, joinable; /* the keyframe is there, with all that follows it */
    bool whole;            /* … and so is the lead-in */
};

/* Join point `number`: ARCLY_OK, ARCLY_NOTHING, ARCLY_E_LAPPED, ARCLY_E_CORRUPT. */
int arcly_gop_read(const struct arcly_region *region, uint64_t number, struct arcly_gop_copy *copy);

/* Time of `value` ticks of num/den seconds, in ns; saturates. */
int64_t arcly_ticks_to_ns(int64_t value, uint32_t num, uint32_t den);

/* ------------------------------------------------------------------ writer */

struct arcly_track_spec {
    uint32_t kind, codec, num, den, width, height, sample_rate, channels;
};

struct arcly_meta {
    int64_t pts, dts, duration;
    uint64_t capture_ns, publish_ns;
    uint16_t flags; /* ARCLY_KEY | ARCLY_DISCONTINUITY | ARCLY_DROPPABLE | ARCLY_CORRUPT */
};

#define ARCLY_LOOKBACK 64 /* audio frames looked through for those ahead of a keyframe */

/* The writer's private state; nothing in it is shared. */
struct arcly_writer {
    const struct arcly_region *region;
    uint64_t head, next_pos, watermark, total_bytes, padding_bytes, gop_head, config_head;
    uint64_t key_seq, key_bytes_before;
    int64_t key_pts, key_ns, last_pts;
    uint32_t epoch, track_count, keyframe_requests_seen;
    uint32_t join_track;
    bool has_join, awaiting_key, mark_discontinuity, closed;
    uint64_t gated;
    /* the span handed out, if any */
    bool reserved;
    uint32_t span_track;
    uint64_t span_pos, span_size;
    struct arcly_track_spec tracks[ARCLY_TRACKS];
    uint32_t config_gen[ARCLY_TRACKS];
    struct {
        uint64_t seq, pos, bytes_before;
        int64_t ns;
    } lookback[ARCLY_LOOKBACK];
    uint32_t lookback_count;
    /* how fast frames come */
    uint64_t last_ns, brisk_until_ns;
    uint32_t brisk_frames;
};

/* Become the writer: finish or drop what a killed predecessor left, epoch + 1. The
 * caller holds the region's lock. ARCLY_E_ARGUMENT: bad tracks; ARCLY_E_TRACKS: of another number, kind, codec or
 * time base than the writer's before; ARCLY_E_CORRUPT; ARCLY_E_CLOSED: the stream is over. */
int arcly_writer_claim(struct arcly_writer *writer, const struct arcly_region *region,
                       const struct arcly_track_spec *tracks, uint32_t track_count, uint32_t pid);

/* Announce a frame of at most size bytes and give the memory for it (64-byte
 * aligned, contiguous). ARCLY_GATED, ARCLY_E_TOO_LARGE, ARCLY_E_REPLACED, ARCLY_E_CLOSED, ARCLY_E_ARGUMENT. */
int arcly_writer_reserve(struct arcly_writer *writer, uint32_t track, uint64_t size, uint8_t **payload);

/* Publish the reserved frame with its first size bytes, and wake. Where it is ARCLY_GATED, ARCLY_E_REPLACED
 * or ARCLY_E_CLOSED nothing is published and the span is given back. */
int arcly_writer_commit(struct arcly_writer *writer, uint64_t size, const struct arcly_meta *meta);

/* Give the reserved span back unpublished. */
void arcly_writer_abort(struct arcly_writer *writer);

/* Keep a new configuration generation of track and publish it as a CONFIG frame. width and height of 0 leave
 * the track's as they are. */
int arcly_writer_set_config(struct arcly_writer *writer, uint32_t track, const void *data, uint64_t size,
                            uint32_t width, uint32_t height, const struct arcly_meta *meta);

/* True once for each batch of keyframe requests. */
bool arcly_writer_keyframe_requested(struct arcly_writer *writer);

/* The stream is over: tell and wake all. Idempotent. */
void arcly_writer_end(struct arcly_writer *writer);

/* ------------------------------------------------------------------ reader */

enum arcly_start { ARCLY_FROM_KEYFRAME, ARCLY_FROM_LIVE, ARCLY_FROM_OLDEST, ARCLY_FROM_SEQ, ARCLY_FROM_AGO };

struct arcly_reader {
    const struct arcly_region *region;
    enum arcly_start start;
    uint64_t start_value;  /* a sequence, or ns */
    bool resync_oldest;
    uint32_t track_mask;   /* bit n: deliver track n */
    uint64_t next;         /* sequence wanted */
    uint64_t missed;       /* frames lost so far */
    bool joined;           /* has a place in the stream */
    bool started;          /* has delivered a frame */
    bool lost;             /* lapped; lost_from is the first frame missed */
    uint64_t lost_from;
    uint64_t placed_at;    /* where it went on last as the oldest frame … */
    uint64_t margin;       /* … and how far from the edge: 0, unless it was overtaken there */
    uint64_t await_gop;    /* join points before this number won't do */
    uint64_t join_key;     /* key_seq of the join point; lead-in lies before it */
    int64_t join_ns;       /* media time of that keyframe */
    uint32_t armed;        /* bit n: track n decodes from here on */
    uint32_t pending;      /* bit n: a configuration of track n is due */
    uint64_t pending_seq;  /* … the one in force at this sequence */
    uint32_t video;        /* bit n: track n is video */
    uint64_t seen_gen[ARCLY_TRACKS];
    arcly_u32 kicked;      /* set from any thread: an arcly_closed word */
    uint32_t closed;       /* set with ARCLY_OVER */
};

struct arcly_item {
    struct arcly_frame frame; /* GOT_FRAME, GOT_CONFIG (data = config.data) */
    uint64_t missed, resumed_at; /* GOT_GAP */
    struct arcly_config_copy config;
};

void arcly_reader_init(struct arcly_reader *reader, const struct arcly_region *region, enum arcly_start start,
                       uint64_t value, bool resync_oldest, uint32_t track_mask);

/* The next thing to deliver: ARCLY_GOT_*, ARCLY_NOTHING, ARCLY_OVER, ARCLY_E_CORRUPT. now_ns is monotonic. */
int arcly_reader_next(struct arcly_reader *reader, struct arcly_item *item, uint64_t now_ns);

/* ------------------------------------------------------------------ daemon */

void arcly_daemon_close(const struct arcly_region *region, uint32_t closed);

/* ----------------------------------------------------------------- crc32c */

/* CRC-32C (Castagnoli), RFC 3720 appendix B.4; crc is 0 to begin with. */
uint32_t arcly_crc32c(uint32_t crc, const void *data, size_t size);

#endif
