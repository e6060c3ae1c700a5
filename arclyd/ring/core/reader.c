#include "wait.h"

#define ATTEMPTS 16 /* places tried in one call before the caller is asked to wait: a hostile region can't spin us */
#define NO_GOP UINT64_MAX

static uint32_t video_tracks(const struct arcly_region *region) {
    uint32_t mask = 0;
    struct arcly_track_copy track;
    for (uint32_t id = 0; id < region->track_count; id++)
        if (arcly_track_read(region, id, &track) == ARCLY_OK && track.kind == ARCLY_VIDEO)
            mask |= UINT32_C(1) << id;
    return mask;
}

void arcly_reader_init(struct arcly_reader *r, const struct arcly_region *region, enum arcly_start start,
                       uint64_t value, bool resync_oldest, uint32_t track_mask) {
    memset(r, 0, sizeof *r);
    r->region = region;
    r->start = start;
    r->start_value = value;
    r->resync_oldest = resync_oldest;
    r->track_mask = track_mask;
    r->placed_at = UINT64_MAX;
    r->next = start == ARCLY_FROM_SEQ ? value : arcly_acquire_u64(&region->header->hot.head);
}

/* -------------------------------------------------------------------- join */

/* From here on read at seq; configurations in force there are due first. */
static void place(struct arcly_reader *r, uint64_t seq, uint64_t join_key, uint32_t armed) {
    r->next = seq;
    r->join_key = join_key;
    r->armed = armed;
    r->joined = true;
    r->pending_seq = seq;
    r->pending = (uint32_t)((UINT64_C(1) << r->region->track_count) - 1);
}

/* All tracks that had a configuration before seq must still have its record. */
static bool configs_kept(const struct arcly_reader *r, uint64_t seq, struct arcly_item *item) {
    for (uint32_t id = 0; id < r->region->track_count; id++) {
        const int found = arcly_config_at(r->region, id, seq, &item->config);
        if (found != ARCLY_OK && found != ARCLY_NOTHING)
            return false;
    }
    return true;
}

/* Where reading from that join point on begins: with the lead-in, or what is left of it. A reader that lost its place
 * counts every frame from there to the keyframe as missed, so it takes none: the number stays exact and what follows it
 * is dense. */
static uint64_t join_from(const struct arcly_reader *r, const struct arcly_gop_copy *gop) {
    if (r->lost)
        return gop->key_seq;
    const uint64_t oldest = gop->whole ? gop->join_seq : arcly_oldest(r->region);
    return oldest < gop->join_seq ? gop->join_seq : oldest < gop->key_seq ? oldest : gop->key_seq;
}

static int join_at(struct arcly_reader *r, const struct arcly_gop_copy *gop, struct arcly_item *item) {
    struct arcly_track_copy track;
    if (gop->key_seq > arcly_acquire_u64(&r->region->header->hot.head))
        return ARCLY_E_CORRUPT;
    if (arcly_track_read(r->region, gop->track, &track) != ARCLY_OK)
        return ARCLY_NOTHING; /* no such track: the region contradicts itself */
    ARCLY_FAULT("join.track");
    const uint64_t from = join_from(r, gop);
    if (!configs_kept(r, from, item))
        return ARCLY_NOTHING;
    ARCLY_FAULT("join.configs");
    r->video = video_tracks(r->region);
    r->join_ns = arcly_ticks_to_ns(gop->pts, track.num, track.den);
    place(r, from, gop->key_seq, ~r->video);
    return ARCLY_OK;
}

/* The join point that `start` asks for; NO_GOP: none that can be joined. */
static uint64_t choose_gop(const struct arcly_reader *r, enum arcly_start start, uint64_t now_ns,
                           struct arcly_gop_copy *gop, struct arcly_item *item) {
    const uint64_t end = arcly_acquire_u64(&r->region->header->hot.gop_head);
    const uint64_t kept = end > r->region->gop_count ? end - r->region->gop_count : 0;
    uint64_t chosen = NO_GOP;
    for (uint64_t number = end; number-- > kept && number >= r->await_gop;) {
        struct arcly_gop_copy candidate;
        if (arcly_gop_read(r->region, number, &candidate) != ARCLY_OK || !candidate.intact)
            break;
        if (!candidate.joinable && start == ARCLY_FROM_KEYFRAME)
            break;
        if (!candidate.joinable)
            continue;
        if (start != ARCLY_FROM_KEYFRAME && !configs_kept(r, join_from(r, &candidate), item))
            break; /* nor are those of older ones */
        *gop = candidate;
        chosen = number;
        if (start == ARCLY_FROM_KEYFRAME ||
            (start == ARCLY_FROM_AGO && candidate.publish_ns + r->start_value <= now_ns))
            break;
    }
    return chosen;
}

/* Find a place to read from. ARCLY_NOTHING: there is none yet. */
static int join(struct arcly_reader *r, struct arcly_item *item, uint64_t now_ns) {
    const enum arcly_start start = r->lost ? ARCLY_FROM_KEYFRAME : r->start;
    struct arcly_gop_copy gop;
    if (start == ARCLY_FROM_LIVE || start == ARCLY_FROM_SEQ) {
        r->video = video_tracks(r->region);
        place(r, r->next, 0, UINT32_MAX);
        return ARCLY_OK;
    }
    const uint64_t end = arcly_acquire_u64(&r->region->header->hot.gop_head);
    if (choose_gop(r, start, now_ns, &gop, item) != NO_GOP) {
        ARCLY_FAULT("join.chosen");
        return join_at(r, &gop, item);
    }
    ARCLY_FAULT("join.none");
    r->await_gop = end; /* those there are now can't be joined, and won't be */
    return ARCLY_NOTHING;
}

/* The oldest frame is the next to be overwritten: a reader that is slower than the writer would be overtaken there
 * again and again, and never get a frame. Each time that happens it goes on twice as far from the edge. */
static void go_on_at_oldest(struct arcly_reader *r) {
    const uint64_t oldest = arcly_oldest(r->region), head = arcly_acquire_u64(&r->region->header->hot.head);
    const uint64_t most = head > oldest ? (head - oldest) / 2 : 0;
    r->margin = r->next != r->placed_at ? 0 : r->margin ? 2 * r->margin : 1;
    if (r->margin > most)
        r->margin = most;
    r->placed_at = oldest + r->margin;
    place(r, r->placed_at, 0, UINT32_MAX);
}

/* The writer overtook us at `next`. */
static void lose(struct arcly_reader *r) {
    r->pending = 0;
    if (!r->started && r->start != ARCLY_FROM_SEQ && r->start != ARCLY_FROM_LIVE) {
        r->joined = false; /* nothing was delivered yet: joining anew loses nothing */
        return;
    }
    if (!r->lost) {
        r->lost = true;
        r->lost_from = r->next;
    }
    /* What lies before this region is lost, but nothing of the region is: a reader that came over from the one before
     * goes on with the first frame, however late it is. */
    const bool came_over = r->next < r->region->base_seq && arcly_oldest(r->region) == r->region->base_seq;
    if (r->resync_oldest || came_over)
        go_on_at_oldest(r);
    else
        r->joined = false;
}

/* ----------------------------------------------------------------- deliver */

/* The next configuration that is due; ARCLY_NOTHING: none is; ARCLY_E_LAPPED: a joiner's went meanwhile. */
static int next_config(struct arcly_reader *r, struct arcly_item *item) {
    while (r->pending) {
        const uint32_t id = (uint32_t)__builtin_ctz(r->pending);
        r->pending &= r->pending - 1;
        if (!(r->track_mask >> id & 1))
            continue;
        ARCLY_FAULT("join.config");
        const int found = arcly_config_at(r->region, id, r->pending_seq, &item->config);
        if (found == ARCLY_E_LAPPED && r->join_key)
            return found;
        if (found != ARCLY_OK || item->config.generation <= r->seen_gen[id])
            continue;
        r->seen_gen[id] = item->config.generation;
        struct arcly_frame first;
        const bool known = arcly_read(r->region, r->pending_seq, &first) == ARCLY_OK;
        item->frame = (struct arcly_frame){
            .seq = item->config.seq,
            .track = (uint16_t)id,
            .flags = ARCLY_CONFIG,
            .size = item->config.size,
            .data = item->config.data,
            .config_gen = (uint32_t)item->config.generation,
            .epoch = known ? first.epoch : arcly_load(r->region->header->hot.epoch),
            .join_seq = item->config.seq,
        };
        return ARCLY_GOT_CONFIG;
    }
    return ARCLY_NOTHING;
}

/* Whether the frame is for this reader: its tracks, and what can be decoded since it joined. */
static bool wanted(struct arcly_reader *r, const struct arcly_frame *frame) {
    const uint32_t bit = UINT32_C(1) << frame->track;
    if (frame->flags & ARCLY_CONFIG) {
        r->seen_gen[frame->track] = frame->config_gen;
        return r->track_mask & bit;
    }
    if (frame->seq < r->join_key) { /* lead-in: sound that belongs to the picture to come, and nothing else */
        struct arcly_track_copy track;
        if ((r->video & bit) || arcly_track_read(r->region, frame->track, &track) != ARCLY_OK ||
            track.kind != ARCLY_AUDIO || arcly_ticks_to_ns(frame->pts, track.num, track.den) < r->join_ns)
            return false;
    }
    if (frame->flags & ARCLY_KEY)
        r->armed |= bit;
    return r->track_mask & r->armed & bit;
}

static uint32_t over(const struct arcly_reader *r) {
    const uint32_t kicked = arcly_acquire_u32(&r->kicked);
    const uint32_t closed = arcly_acquire_u32(&r->region->header->daemon.closed);
    if (kicked)
        return kicked;
    if (arcly_acquire_u32(&r->region->header->hot.state) == ARCLY_ENDED) /* P5 */
        return ARCLY_CLOSED_ENDED;
    return closed;
}

static int gap(struct arcly_reader *r, struct arcly_item *item, uint64_t resumed_at) {
    if (resumed_at < r->lost_from)
        return ARCLY_E_CORRUPT;
    item->missed = resumed_at - r->lost_from;
    item->resumed_at = resumed_at;
    r->missed += item->missed;
    return ARCLY_GOT_GAP;
}

/* Nothing at `next`: is it still to come, or was that all? The end is announced after the last frame, so a look
 * at the slot after seeing the end is the last word. */
static int rest(struct arcly_reader *r, struct arcly_item *item) {
    ARCLY_FAULT("rest.enter");
    const uint32_t closed = over(r);
    if (!closed)
        return ARCLY_NOTHING;
    ARCLY_FAULT("rest.over");
    if (r->joined && arcly_read(r->region, r->next, &item->frame) != ARCLY_NOTHING)
        return ARCLY_OK; /* one more came in between */
    if (!r->joined && arcly_acquire_u64(&r->region->header->hot.gop_head) > r->await_gop)
        return ARCLY_OK; /* … or a first place to join at */
    if (r->lost) { /* … after the frames lost at the very end are accounted for */
        r->lost = false;
        place(r, arcly_acquire_u64(&r->region->header->hot.head), 0, UINT32_MAX);
        r->pending = 0;
        return gap(r, item, r->next);
    }
    r->closed = closed;
    return ARCLY_OVER;
}

static int step(struct arcly_reader *r, struct arcly_item *item, uint64_t now_ns) {
    if (!r->joined) {
        const int placed = join(r, item, now_ns);
        if (placed != ARCLY_OK)
            return placed == ARCLY_NOTHING ? rest(r, item) : placed;
    }
    if (!r->lost && r->pending) {
        const int due = next_config(r, item);
        if (due == ARCLY_GOT_CONFIG)
            return due;
        if (due == ARCLY_E_LAPPED) {
            lose(r);
            return ARCLY_OK;
        }
    }
    const int got = arcly_read(r->region, r->next, &item->frame);
    if (got == ARCLY_E_LAPPED) {
        lose(r);
        return ARCLY_OK;
    }
    if (got == ARCLY_NOTHING)
        return rest(r, item);
    if (got != ARCLY_OK)
        return got;
    if (r->lost) { /* told once its end is known; the frame itself comes with the next call */
        r->lost = false;
        return gap(r, item, r->next);
    }
    if (r->join_key && item->frame.seq == r->join_key && !(item->frame.flags & ARCLY_KEY) &&
        (r->video >> item->frame.track & 1))
        return ARCLY_E_CORRUPT;
    r->next++;
    if (!wanted(r, &item->frame))
        return ARCLY_OK;
    r->started = true;
    return ARCLY_GOT_FRAME;
}

int arcly_reader_next(struct arcly_reader *r, struct arcly_item *item, uint64_t now_ns) {
    const uint32_t kicked = arcly_acquire_u32(&r->kicked);
    if (kicked) {
        r->closed = kicked;
        return ARCLY_OVER;
    }
    for (uint32_t fruitless = 0; fruitless < ATTEMPTS;) {
        const uint64_t before = r->next;
        const int result = step(r, item, now_ns);
        if (result != ARCLY_OK)
            return result;
        fruitless += r->next == before || !r->joined; /* frames passed over are progress */
    }
    return ARCLY_NOTHING;
}
