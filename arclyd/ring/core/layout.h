/* layout.h - the bytes of a region.
 *
 * shm_layout.md is the contract; this file is its C form and a test compares
 * the two, field by field. Offsets are asserted below. "W" is the one writer,
 * "D" the daemon, "C" whoever creates the region, before anybody else sees it.
 * Readers write nothing.
 *
 * Words of different writers stand on different 128-byte lines: 128, not 64,
 * since x86 prefetches cache lines in adjacent pairs.
 */
#ifndef ARCLY_LAYOUT_H
#define ARCLY_LAYOUT_H

#include <stddef.h>

#include "atomic.h"

#define ARCLY_MAGIC UINT64_C(0x474e52594c435241) /* "ARCLYRNG" in memory */
#define ARCLY_MAJOR 1
#define ARCLY_MINOR 0
#define ARCLY_FEATURES_KNOWN UINT64_C(0) /* incompatible features this build understands */
#define ARCLY_FEATURE_CRC UINT64_C(1)    /* compatible: every frame carries a CRC32C */

#define ARCLY_LINE 128
#define ARCLY_HEADER_SIZE 1024
#define ARCLY_KEY_SIZE 192
#define ARCLY_TRACKS 16
#define ARCLY_TRACK_SIZE 256
#define ARCLY_CONFIGS 64
#define ARCLY_MAX_CONFIGS 256 /* a join looks through them once per track and join point: this bounds its cost */
#define ARCLY_CONFIG_SIZE 4096
#define ARCLY_CONFIG_HEADER 64
#define ARCLY_GOPS 1024
#define ARCLY_MAX_GOPS 4096
#define ARCLY_GOP_SIZE 128
#define ARCLY_SLOT_SIZE 128
#define ARCLY_ALIGN 64 /* of every payload */
#define ARCLY_PAGE 4096
#define ARCLY_MIN_SLOTS 2
#define ARCLY_MAX_SLOTS (1u << 22)
#define ARCLY_MIN_RING (UINT64_C(16) << 10)
#define ARCLY_MAX_RING (UINT64_C(1) << 38)
#define ARCLY_FRAME_SHARE 8 /* the largest frame is this part of the payload ring */

enum arcly_flag {
    ARCLY_KEY = 1,
    ARCLY_CONFIG = 2,
    ARCLY_DISCONTINUITY = 4,
    ARCLY_DROPPABLE = 8,
    ARCLY_CORRUPT = 16,
    ARCLY_END = 32, /* reserved: no writer of version 1.0 sets it, readers ignore it */
    ARCLY_HAS_CRC = 64,
};

enum arcly_state { ARCLY_NEW = 0, ARCLY_LIVE = 1, ARCLY_ENDED = 2 };

enum arcly_closed {
    ARCLY_OPEN = 0,
    ARCLY_CLOSED_ENDED = 1,
    ARCLY_CLOSED_PUBLISHER_GONE = 2,
    ARCLY_CLOSED_REAPED = 3,
    ARCLY_CLOSED_KICKED = 4,
    ARCLY_CLOSED_SUPERSEDED = 5,
    ARCLY_CLOSED_REFUSED = 6,
};

enum arcly_kind { ARCLY_VIDEO = 0, ARCLY_AUDIO = 1, ARCLY_DATA = 2 };

/* Header, offset 0. Immutable once `magic` is there, which is stored last. */
struct arcly_geometry {
    arcly_u64 magic;             /*   0 C */
    uint16_t major;              /*   8 C */
    uint16_t minor;              /*  10 C */
    uint32_t header_size;        /*  12 C */
    uint64_t features_incompat;  /*  16 C */
    uint64_t features_compat;    /*  24 C */
    uint64_t region_size;        /*  32 C */
    uint64_t track_offset;       /*  40 C */
    uint32_t track_count;        /*  48 C */
    uint32_t track_stride;       /*  52 C */
    uint64_t config_offset;      /*  56 C */
    uint32_t config_count;       /*  64 C */
    uint32_t config_stride;      /*  68 C */
    uint64_t gop_offset;         /*  72 C */
    uint32_t gop_count;          /*  80 C */
    uint32_t gop_stride;         /*  84 C */
    uint64_t slot_offset;        /*  88 C */
    uint32_t slot_count;         /*  96 C */
    uint32_t slot_stride;        /* 100 C */
    uint64_t payload_offset;     /* 104 C */
    uint64_t payload_size;       /* 112 C */
    uint64_t max_frame;          /* 120 C */
    uint64_t base_seq;           /* 128 C */
    uint64_t created_ns;         /* 136 C wall clock */
    uint64_t gop_limit_bytes;    /* 144 C 0: none */
    uint32_t gop_limit_frames;   /* 152 C 0: none */
    uint32_t gop_limit_ms;       /* 156 C 0: none */
    uint8_t region_id[16];       /* 160 C */
    uint8_t reserved[16];        /* 176 C zero */
    char key[ARCLY_KEY_SIZE];    /* 192 C NUL-padded */
    uint32_t crc;                /* 384 C CRC32C of bytes 8..384 */
    uint8_t reserved2[124];      /* 388 C zero */
};

/* Offset 512: the writer's hot line, one cache line to fetch per frame. */
struct arcly_hot {
    arcly_u64 head;              /*   0 W sequence of the next frame */
    arcly_u64 reserved_pos;      /*   8 W watermark: no byte at or past it is promised, none before it - size is left */
    arcly_u64 gop_head;          /*  16 W number of the next join point */
    arcly_u64 config_head;       /*  24 W number of the next configuration generation, from 1 */
    arcly_u64 last_publish_ns;   /*  32 W monotonic */
    arcly_i64 gop_last_pts;      /*  40 W greatest pts of the join track since its join point */
    arcly_u32 state;             /*  48 W arcly_state */
    arcly_u32 epoch;             /*  52 W */
    arcly_u32 writer_pid;        /*  56 W */
    arcly_u32 join_track;        /*  60 W track whose keyframes make join points */
    uint8_t reserved[64];        /*  64   zero */
};

/* Offset 640: the futex word, W and D add to it, atomically; and when it is that of another. */
struct arcly_wake {
    arcly_u32 word;              /*   0 W D */
    uint8_t reserved[4];         /*   4   zero */
    arcly_u64 brisk_until_ns;    /*   8 W monotonic: until then the word may change without waking anybody */
    uint8_t reserved2[112];      /*  16   zero */
};

/* Offset 768: the daemon's words. */
struct arcly_daemon {
    arcly_u32 subscribers;       /*   0 D */
    arcly_u32 keyframe_requests; /*   4 D counts up */
    arcly_u32 granted_epoch;     /*   8 D 0: any */
    arcly_u32 closed;            /*  12 D arcly_closed */
    uint8_t reserved[112];       /*  16   zero */
};

/* Offset 896: cumulative counters of the whole stream. */
struct arcly_counters {
    arcly_u64 total_bytes;        /*   0 W payload bytes published */
    arcly_u64 padding_bytes;      /*   8 W skipped at the ring's end or for alignment */
    arcly_u64 largest_frame;      /*  16 W */
    arcly_u64 keyframes;          /*  24 W of the join track */
    arcly_u64 longest_gop_frames; /*  32 W */
    arcly_u64 longest_gop_bytes;  /*  40 W */
    arcly_u64 key_interval_ns;    /*  48 W media time between the two newest join points */
    uint8_t reserved[72];         /*  56   zero */
};

struct arcly_header {
    struct arcly_geometry geometry; /*   0 */
    struct arcly_hot hot;           /* 512 */
    struct arcly_wake wake;         /* 640 */
    struct arcly_daemon daemon;     /* 768 */
    struct arcly_counters counters; /* 896 */
};

/* Track table entry. Fields before the counters change under `word` (odd: busy); from LIVE on kind, codec and time
 * base are settled: every store of them is of the value there. */
struct arcly_track {
    arcly_u64 word;            /*   0 W 2n even: stable, odd: being written */
    arcly_u32 kind;            /*   8 W arcly_kind */
    arcly_u32 codec;           /*  12 W */
    arcly_u32 time_base_num;   /*  16 W 0: no such track */
    arcly_u32 time_base_den;   /*  20 W */
    arcly_u32 width;           /*  24 W */
    arcly_u32 height;          /*  28 W */
    arcly_u32 sample_rate;     /*  32 W */
    arcly_u32 channels;        /*  36 W */
    arcly_u32 config_gen;      /*  40 W current generation, 0: none */
    uint8_t reserved[84];      /*  44   zero */
    arcly_u64 frames;          /* 128 W counters, each of its own */
    arcly_u64 bytes;           /* 136 W */
    arcly_u64 keyframes;       /* 144 W */
    arcly_u64 configs;         /* 152 W CONFIG frames among `frames` */
    arcly_u64 last_publish_ns; /* 160 W monotonic */
    arcly_i64 last_pts;        /* 168 W */
    arcly_i64 last_dts;        /* 176 W */
    uint8_t reserved2[72];     /* 184   zero */
};

/* Configuration record: generation g stands at index g % config_count. */
struct arcly_config {
    arcly_u64 word;             /*  0 W 2g published, 2g - 1 busy, 0 never */
    arcly_u64 seq;              /*  8 W of its CONFIG frame */
    arcly_u32 track;            /* 16 W */
    arcly_u32 size;             /* 20 W bytes used of `data` */
    uint8_t reserved[40];       /* 24   zero */
    uint8_t data[ARCLY_CONFIG_SIZE - ARCLY_CONFIG_HEADER]; /* 64 W */
};

/* GOP ring entry: join point n stands at index n % gop_count. */
struct arcly_gop {
    arcly_u64 word;        /*   0 W 2n + 2 published, 2n + 1 busy, 0 never */
    arcly_u64 key_seq;     /*   8 W */
    arcly_u64 join_seq;    /*  16 W where reading starts: at most key_seq */
    arcly_u64 join_pos;    /*  24 W payload position of join_seq */
    arcly_i64 pts;         /*  32 W of the keyframe */
    arcly_u64 bytes_before;/*  40 W total_bytes before join_seq */
    arcly_u64 publish_ns;  /*  48 W monotonic */
    arcly_u32 track;       /*  56 W */
    arcly_u32 epoch;       /*  60 W */
    uint8_t reserved[64];  /*  64   zero */
};

/* Slot: frame s stands at index s % slot_count. */
struct arcly_slot {
    arcly_u64 word;        /*  0 W 2s + 2 published, 2s + 1 busy, 0 never */
    arcly_u64 pos;         /*  8 W absolute payload position; its offset is pos % payload_size */
    arcly_u32 size;        /* 16 W */
    arcly_u16 track;       /* 20 W */
    arcly_u16 flags;       /* 22 W arcly_flag */
    arcly_i64 pts;         /* 24 W */
    arcly_i64 dts;         /* 32 W */
    arcly_i64 duration;    /* 40 W 0: unknown */
    arcly_u64 capture_ns;  /* 48 W wall clock */
    arcly_u64 publish_ns;  /* 56 W monotonic */
    arcly_u64 join_seq;    /* 64 W key_seq of its join point; its own where there is none */
    arcly_u64 bytes_before;/* 72 W total_bytes before this frame */
    arcly_u32 epoch;       /* 80 W */
    arcly_u32 config_gen;  /* 84 W in force on its track, 0: none */
    arcly_u32 crc;         /* 88 W CRC32C of the payload, with ARCLY_HAS_CRC */
    uint8_t reserved[36];  /* 92   zero */
};

#define ARCLY_AT(type, field, offset) _Static_assert(offsetof(struct type, field) == (offset), #type "." #field)

ARCLY_AT(arcly_geometry, region_size, 32);
ARCLY_AT(arcly_geometry, track_offset, 40);
ARCLY_AT(arcly_geometry, config_offset, 56);
ARCLY_AT(arcly_geometry, gop_offset, 72);
ARCLY_AT(arcly_geometry, slot_offset, 88);
ARCLY_AT(arcly_geometry, payload_offset, 104);
ARCLY_AT(arcly_geometry, base_seq, 128);
ARCLY_AT(arcly_geometry, region_id, 160);
ARCLY_AT(arcly_geometry, key, 192);
ARCLY_AT(arcly_geometry, crc, 384);
ARCLY_AT(arcly_header, hot, 512);
ARCLY_AT(arcly_header, wake, 640);
ARCLY_AT(arcly_header, daemon, 768);
ARCLY_AT(arcly_header, counters, 896);
ARCLY_AT(arcly_hot, state, 48);
ARCLY_AT(arcly_hot, join_track, 60);
ARCLY_AT(arcly_daemon, closed, 12);
ARCLY_AT(arcly_counters, key_interval_ns, 48);
ARCLY_AT(arcly_track, config_gen, 40);
ARCLY_AT(arcly_track, frames, 128);
ARCLY_AT(arcly_track, last_dts, 176);
ARCLY_AT(arcly_config, data, ARCLY_CONFIG_HEADER);
ARCLY_AT(arcly_gop, track, 56);
ARCLY_AT(arcly_slot, pts, 24);
ARCLY_AT(arcly_slot, join_seq, 64);
ARCLY_AT(arcly_slot, crc, 88);
_Static_assert(sizeof(struct arcly_geometry) == 512, "geometry");
_Static_assert(sizeof(struct arcly_hot) == ARCLY_LINE, "hot line");
_Static_assert(sizeof(struct arcly_wake) == ARCLY_LINE, "wake line");
_Static_assert(sizeof(struct arcly_daemon) == ARCLY_LINE, "daemon's line");
_Static_assert(sizeof(struct arcly_counters) == ARCLY_LINE, "counter line");
_Static_assert(sizeof(struct arcly_header) == ARCLY_HEADER_SIZE, "header");
_Static_assert(sizeof(struct arcly_track) == ARCLY_TRACK_SIZE, "track");
_Static_assert(sizeof(struct arcly_config) == ARCLY_CONFIG_SIZE, "config");
_Static_assert(sizeof(struct arcly_gop) == ARCLY_GOP_SIZE, "gop");
_Static_assert(sizeof(struct arcly_slot) == ARCLY_SLOT_SIZE, "slot");

#endif
