#include "wait.h"

static uint64_t align(uint64_t value) {
    return (value + ARCLY_ALIGN - 1) & ~(uint64_t)(ARCLY_ALIGN - 1);
}

static uint64_t seen_as(uint64_t counter, uint64_t value) {
    return value > counter ? value : counter;
}

/* ------------------------------------------------------------------- claim */

/* The join track: the first video track, else the first audio track, else the first. */
static uint32_t choose_join_track(const struct arcly_track_spec *tracks, uint32_t count) {
    for (uint32_t kind = ARCLY_VIDEO; kind <= ARCLY_AUDIO; kind++)
        for (uint32_t id = 0; id < count; id++)
            if (tracks[id].kind == kind)
                return id;
    return 0;
}

static void store_track(struct arcly_track *track, const struct arcly_track_spec *spec, uint32_t config_gen) {
    const uint64_t word = arcly_load(track->word) & ~UINT64_C(1);
    arcly_store(track->word, word + 1);
    arcly_announce_fence();
    ARCLY_FAULT("track.busy");
    arcly_store(track->kind, spec->kind);
    arcly_store(track->codec, spec->codec);
    arcly_store(track->time_base_num, spec->num);
    arcly_store(track->time_base_den, spec->den);
    arcly_store(track->width, spec->width);
    arcly_store(track->height, spec->height);
    arcly_store(track->sample_rate, spec->sample_rate);
    arcly_store(track->channels, spec->channels);
    arcly_store(track->config_gen, config_gen);
    ARCLY_FAULT("track.fields");
    arcly_publish_u64(&track->word, word + 2);
    ARCLY_FAULT("track.word");
}

/* A predecessor killed between its slot word and its head left a frame that readers may have seen: it counts. One
 * killed before the slot word left nothing anybody could see: its sequence is used again. */
static int recover(struct arcly_writer *w) {
    const struct arcly_header *header = w->region->header;
    struct arcly_frame last;
    w->head = arcly_load(header->hot.head);
    w->watermark = arcly_load(header->hot.reserved_pos);
    if (w->head < w->region->base_seq || w->head >> 62 || w->watermark >> 62)
        return ARCLY_E_CORRUPT;
    if (arcly_load(w->region->slots[w->head % w->region->slot_count].word) == 2 * w->head + 2)
        w->head++;
    w->next_pos = align(w->watermark);
    w->gop_head = arcly_load(header->hot.gop_head);
    w->config_head = arcly_load(header->hot.config_head);
    w->padding_bytes = arcly_load(header->counters.padding_bytes);
    w->total_bytes = arcly_load(header->counters.total_bytes);
    if (w->head > w->region->base_seq && arcly_read(w->region, w->head - 1, &last) == ARCLY_OK)
        w->total_bytes = last.bytes_before + last.size;
    if (w->gop_head >> 62 || w->config_head == 0 || w->config_head >> 62)
        return ARCLY_E_CORRUPT;
    return ARCLY_OK;
}

/* Readers rely on it: what a track is can't change while they read on. That takes another region. */
static bool same_tracks(const struct arcly_region *region, const struct arcly_track_spec *tracks, uint32_t count) {
    struct arcly_track_copy was;
    for (uint32_t id = 0; id < region->track_count; id++) {
        const int there = arcly_track_read(region, id, &was);
        if (there == ARCLY_OK ? id >= count || was.kind != tracks[id].kind || was.codec != tracks[id].codec ||
                                    was.num != tracks[id].num || was.den != tracks[id].den
                              : there != ARCLY_NOTHING || id < count)
            return false;
    }
    return true;
}

int arcly_writer_claim(struct arcly_writer *w, const struct arcly_region *region, const struct arcly_track_spec *tracks,
                       uint32_t track_count, uint32_t pid) {
    struct arcly_header *header = region->header;
    memset(w, 0, sizeof *w);
    if (track_count == 0 || track_count > region->track_count)
        return ARCLY_E_ARGUMENT;
    for (uint32_t id = 0; id < track_count; id++)
        if (tracks[id].kind > ARCLY_DATA || tracks[id].num == 0 || tracks[id].den == 0)
            return ARCLY_E_ARGUMENT;
    if (arcly_load(header->hot.state) == ARCLY_ENDED || arcly_load(header->daemon.closed))
        return ARCLY_E_CLOSED;
    if (arcly_load(header->hot.state) != ARCLY_NEW && !same_tracks(region, tracks, track_count))
        return ARCLY_E_TRACKS;
    w->region = region;
    const int error = recover(w);
    if (error)
        return error;
    memcpy(w->tracks, tracks, track_count * sizeof *tracks);
    w->track_count = track_count;
    w->join_track = choose_join_track(tracks, track_count);
    w->epoch = arcly_load(header->hot.epoch) + 1;
    w->mark_discontinuity = w->epoch > 1;
    w->awaiting_key = w->mark_discontinuity && tracks[w->join_track].kind == ARCLY_VIDEO;
    w->keyframe_requests_seen = arcly_load(header->daemon.keyframe_requests);
    ARCLY_FAULT("claim.recovered");
    /* Before the tracks: whoever finds one without a configuration must know whose track it is. */
    arcly_store(header->hot.epoch, w->epoch);
    ARCLY_FAULT("claim.epoch");
    const struct arcly_track_spec none = {0};
    for (uint32_t id = 0; id < region->track_count; id++)
        store_track(&region->tracks[id], id < track_count ? &tracks[id] : &none, 0);
    ARCLY_FAULT("claim.tracks");
    arcly_store(header->hot.join_track, w->join_track);
    ARCLY_FAULT("claim.join_track");
    arcly_store(header->hot.writer_pid, pid);
    ARCLY_FAULT("claim.pid");
    arcly_publish_u64(&header->hot.head, w->head);
    ARCLY_FAULT("claim.head");
    arcly_publish_u32(&header->hot.state, ARCLY_LIVE);
    ARCLY_FAULT("claim.state");
    arcly_wake(region);
    return ARCLY_OK;
}

/* ----------------------------------------------------------------- reserve */

/* R1: whoever sees a byte written after this sees the watermark and the busy mark too. */
static void announce(struct arcly_writer *w, uint64_t end) {
    w->watermark = seen_as(w->watermark, end);
    ARCLY_FAULT("announce.enter");
    arcly_store(w->region->header->hot.reserved_pos, w->watermark);
    ARCLY_FAULT("announce.watermark");
    arcly_store(w->region->slots[w->head % w->region->slot_count].word, 2 * w->head + 1);
    ARCLY_FAULT("announce.busy");
    arcly_announce_fence();
    ARCLY_FAULT("announce.fence");
}

static int refusal(const struct arcly_writer *w) {
    const struct arcly_daemon *daemon = &w->region->header->daemon;
    const uint32_t granted = arcly_load(daemon->granted_epoch);
    if (w->closed)
        return ARCLY_E_CLOSED;
    if (granted && granted != w->epoch)
        return ARCLY_E_REPLACED;
    return arcly_load(daemon->closed) ? ARCLY_E_CLOSED : ARCLY_OK;
}

static int reserve(struct arcly_writer *w, uint32_t track, uint64_t size) {
    const uint64_t ring = w->region->payload_size;
    const int error = refusal(w);
    if (error)
        return error;
    if (track >= w->track_count || w->reserved)
        return ARCLY_E_ARGUMENT;
    if (size > w->region->max_frame)
        return ARCLY_E_TOO_LARGE;
    const uint64_t offset = w->next_pos % ring;
    w->span_pos = offset + size > ring ? w->next_pos + (ring - offset) : w->next_pos;
    w->span_size = size;
    w->span_track = track;
    w->reserved = true;
#ifndef ARCLY_MUTANT_ANNOUNCE_LATE
    announce(w, align(w->span_pos + size));
#endif
    return ARCLY_OK;
}

int arcly_writer_reserve(struct arcly_writer *w, uint32_t track, uint64_t size, uint8_t **payload) {
    const int error = reserve(w, track, size);
    if (error == ARCLY_OK)
        *payload = w->region->payload + w->span_pos % w->region->payload_size;
    return error;
}

void arcly_writer_abort(struct arcly_writer *w) {
    w->reserved = false; /* the slot stays busy and the watermark where it is: the next frame takes both over */
}

/* ------------------------------------------------------------------ commit */

/* Whether this frame makes a join point: a keyframe of the video join track; without video, a frame of the join
 * track at least 500 ms of media time after the last such point. */
#define JOIN_EVERY_NS 500000000

static bool makes_join_point(const struct arcly_writer *w, const struct arcly_meta *meta) {
    const struct arcly_track_spec *track = &w->tracks[w->join_track];
    if (w->span_track != w->join_track || (meta->flags & ARCLY_CONFIG))
        return false;
    if (track->kind == ARCLY_VIDEO)
        return meta->flags & ARCLY_KEY;
    if (!w->has_join || meta->pts < w->key_pts || (meta->flags & ARCLY_DISCONTINUITY))
        return true;
    const int64_t now_ns = arcly_ticks_to_ns(meta->pts, track->num, track->den);
    const int64_t last_ns = arcly_ticks_to_ns(w->key_pts, track->num, track->den);
    return (uint64_t)now_ns - (uint64_t)last_ns >= JOIN_EVERY_NS; /* unsigned: it may be more than an int64_t holds */
}

/* Remember where audio stands, for the keyframe that it may run ahead of. */
static void look_back_later(struct arcly_writer *w, const struct arcly_meta *meta) {
    const struct arcly_track_spec *track = &w->tracks[w->span_track];
    const uint32_t place = w->lookback_count++ % ARCLY_LOOKBACK;
    w->lookback[place].seq = w->head;
    w->lookback[place].pos = w->span_pos;
    w->lookback[place].bytes_before = w->total_bytes;
    w->lookback[place].ns = arcly_ticks_to_ns(meta->pts, track->num, track->den);
}

static void publish_join_point(struct arcly_writer *w, const struct arcly_meta *meta) {
    struct arcly_header *header = w->region->header;
    struct arcly_gop *entry = &w->region->gops[w->gop_head % w->region->gop_count];
    const struct arcly_track_spec *track = &w->tracks[w->join_track];
    const int64_t key_ns = arcly_ticks_to_ns(meta->pts, track->num, track->den);
    uint64_t join_seq = w->head, join_pos = w->span_pos, bytes_before = w->total_bytes;
    if (w->has_join && (key_ns < w->key_ns || (meta->flags & ARCLY_DISCONTINUITY)))
        w->lookback_count = 0; /* another timeline: what went before says nothing about it */
    const uint32_t kept = w->lookback_count < ARCLY_LOOKBACK ? w->lookback_count : ARCLY_LOOKBACK;
    for (uint32_t i = 0; track->kind == ARCLY_VIDEO && i < kept; i++) {
        if (w->lookback[i].ns < key_ns || w->lookback[i].seq >= join_seq ||
            w->head - w->lookback[i].seq >= w->region->slot_count)
            continue;
        join_seq = w->lookback[i].seq;
        join_pos = w->lookback[i].pos;
        bytes_before = w->lookback[i].bytes_before;
    }
    arcly_store(entry->word, 2 * w->gop_head + 1);
    arcly_announce_fence();
    ARCLY_FAULT("gop.busy");
    arcly_store(entry->key_seq, w->head);
    arcly_store(entry->join_seq, join_seq);
    arcly_store(entry->join_pos, join_pos);
    arcly_store(entry->pts, meta->pts);
    arcly_store(entry->bytes_before, bytes_before);
    arcly_store(entry->publish_ns, meta->publish_ns);
    arcly_store(entry->track, w->join_track);
    arcly_store(entry->epoch, w->epoch);
    ARCLY_FAULT("gop.fields");
    arcly_publish_u64(&entry->word, 2 * w->gop_head + 2);
    ARCLY_FAULT("gop.word");
    arcly_store(header->hot.gop_last_pts, meta->pts);
    arcly_publish_u64(&header->hot.gop_head, ++w->gop_head);
    ARCLY_FAULT("gop.head");

    if (w->has_join) {
        struct arcly_counters *c = &header->counters;
        arcly_store(c->longest_gop_frames, seen_as(arcly_load(c->longest_gop_frames), w->head - w->key_seq));
        arcly_store(c->longest_gop_bytes,
                    seen_as(arcly_load(c->longest_gop_bytes), w->total_bytes - w->key_bytes_before));
        if (key_ns > w->key_ns)
            arcly_store(c->key_interval_ns, (uint64_t)key_ns - (uint64_t)w->key_ns);
    }
    w->has_join = true;
    w->key_seq = w->head;
    w->key_pts = w->last_pts = meta->pts;
    w->key_ns = key_ns;
    w->key_bytes_before = w->total_bytes;
}

static void publish_slot(struct arcly_writer *w, uint64_t size, const struct arcly_meta *meta, uint16_t flags,
                         uint64_t join_seq) {
    struct arcly_slot *slot = &w->region->slots[w->head % w->region->slot_count];
    uint32_t crc = 0;
    if (w->region->crc) {
        crc = arcly_crc32c(0, w->region->payload + w->span_pos % w->region->payload_size, size);
        flags |= ARCLY_HAS_CRC;
    }
    ARCLY_FAULT("slot.enter");
    arcly_store(slot->pos, w->span_pos);
    arcly_store(slot->size, (uint32_t)size);
    arcly_store(slot->track, (uint16_t)w->span_track);
    arcly_store(slot->flags, flags);
    arcly_store(slot->pts, meta->pts);
    arcly_store(slot->dts, meta->dts);
    arcly_store(slot->duration, meta->duration);
    arcly_store(slot->capture_ns, meta->capture_ns);
    arcly_store(slot->publish_ns, meta->publish_ns);
    arcly_store(slot->join_seq, join_seq);
    arcly_store(slot->bytes_before, w->total_bytes);
    arcly_store(slot->epoch, w->epoch);
    arcly_store(slot->config_gen, w->config_gen[w->span_track]);
    arcly_store(slot->crc, crc);
    ARCLY_FAULT("slot.fields");
    arcly_publish_u64(&slot->word, 2 * w->head + 2); /* P2 */
    ARCLY_FAULT("slot.word");
}

static void count(struct arcly_writer *w, uint64_t size, const struct arcly_meta *meta, bool join_point) {
    struct arcly_header *header = w->region->header;
    struct arcly_track *track = &w->region->tracks[w->span_track];
    arcly_store(header->hot.last_publish_ns, meta->publish_ns);
    arcly_store(track->frames, arcly_load(track->frames) + 1);
    arcly_store(track->bytes, arcly_load(track->bytes) + size);
    if (meta->flags & ARCLY_CONFIG) {
        arcly_store(track->configs, arcly_load(track->configs) + 1);
    } else {
        arcly_store(track->last_publish_ns, meta->publish_ns);
        arcly_store(track->last_pts, meta->pts);
        arcly_store(track->last_dts, meta->dts);
    }
    if (meta->flags & ARCLY_KEY)
        arcly_store(track->keyframes, arcly_load(track->keyframes) + 1);
    if (join_point)
        arcly_store(header->counters.keyframes, arcly_load(header->counters.keyframes) + 1);
    arcly_store(header->counters.largest_frame, seen_as(arcly_load(header->counters.largest_frame), size));
    arcly_store(header->counters.padding_bytes, w->padding_bytes);
    arcly_store(header->counters.total_bytes, w->total_bytes);
}

/* P4 */
static void wake(struct arcly_writer *w, uint64_t publish_ns) { /* of frame head - 1 */
    const uint64_t promised_ns = w->brisk_until_ns;
    w->brisk_frames = publish_ns - w->last_ns < ARCLY_APART_NS ? w->brisk_frames + 1 : 0;
    if (w->brisk_frames >= ARCLY_BRISK_FRAMES) {
        w->brisk_until_ns = publish_ns + (uint64_t)ARCLY_BRISK_NS * arcly_crowd(w->region);
        arcly_store(w->region->header->wake.brisk_until_ns, w->brisk_until_ns); /* P6: before the word changes */
    }
    w->last_ns = publish_ns + arcly_wake_unless_brisk(w->region, promised_ns);
}

static int commit(struct arcly_writer *w, uint64_t size, const struct arcly_meta *meta) {
    struct arcly_header *header = w->region->header;
    const bool config = meta->flags & ARCLY_CONFIG;
    const bool join_point = makes_join_point(w, meta);
    uint16_t flags = meta->flags;
    w->reserved = false;
    if (w->awaiting_key && !config && !join_point) {
        w->gated++;
        return ARCLY_GATED;
    }
#ifdef ARCLY_MUTANT_ANNOUNCE_LATE
    announce(w, align(w->span_pos + w->span_size));
#endif
    if (w->mark_discontinuity && !config) {
        flags |= ARCLY_DISCONTINUITY;
        w->mark_discontinuity = w->awaiting_key = false;
    }
#ifdef ARCLY_MUTANT_HEAD_FIRST
    arcly_publish_u64(&header->hot.head, w->head + 1);
#endif
    publish_slot(w, size, meta, flags, join_point || !w->has_join ? w->head : w->key_seq);
    if (join_point)
        publish_join_point(w, meta);
    else if (w->span_track == w->join_track && !config && meta->pts > w->last_pts)
        arcly_store(header->hot.gop_last_pts, w->last_pts = meta->pts);
    if (w->tracks[w->span_track].kind == ARCLY_AUDIO && !config)
        look_back_later(w, meta);
    arcly_publish_u64(&header->hot.head, ++w->head); /* P3 */
    ARCLY_FAULT("head");
    w->padding_bytes += w->span_pos - w->next_pos + align(size) - size;
    w->next_pos = align(w->span_pos + size);
    w->total_bytes += size;
    count(w, size, meta, join_point);
    ARCLY_FAULT("counters");
    wake(w, meta->publish_ns);
    return ARCLY_OK;
}

int arcly_writer_commit(struct arcly_writer *w, uint64_t size, const struct arcly_meta *meta) {
    if (!w->reserved || size > w->span_size)
        return ARCLY_E_ARGUMENT;
    const int error = refusal(w); /* a span may be filled for long: whose ring is it now? */
    if (error)
        arcly_writer_abort(w);
    return error ? error : commit(w, size, meta);
}

/* ---------------------------------------------------------- configuration */

static void store_config(struct arcly_writer *w, uint32_t track, const void *data, uint64_t size) {
    const uint64_t generation = w->config_head;
    struct arcly_config *record = &w->region->configs[generation % w->region->config_count];
    arcly_store(record->word, 2 * generation - 1);
    arcly_announce_fence();
    ARCLY_FAULT("config.busy");
    arcly_store(record->seq, w->head);
    arcly_store(record->track, track);
    arcly_store(record->size, (uint32_t)size);
    arcly_copy_in(record->data, data, size);
    ARCLY_FAULT("config.fields");
    arcly_publish_u64(&record->word, 2 * generation);
    ARCLY_FAULT("config.word");
    arcly_publish_u64(&w->region->header->hot.config_head, ++w->config_head);
    ARCLY_FAULT("config.head");
    w->config_gen[track] = (uint32_t)generation;
}

/* The track whose record the next generation overwrites while it is in force; track_count: none. */
static uint32_t next_to_go(const struct arcly_writer *w) {
    uint32_t id = 0;
    while (id < w->track_count && (w->config_gen[id] == 0 || w->config_gen[id] + w->region->config_count != w->config_head))
        id++;
    return id;
}

/* A record lasts for config_count generations. What is in force and next to go gets the next generation where it
 * stands, unchanged, so that a track that changes often never costs another its only record, nor the GOP its own. */
static void renew_configs(struct arcly_writer *w) {
    for (uint32_t round = 0; round < w->track_count; round++) {
        const uint64_t generation = w->config_head;
        const uint32_t id = next_to_go(w);
        if (id == w->track_count)
            return;
        arcly_publish_u64(&w->region->configs[generation % w->region->config_count].word, 2 * generation);
        ARCLY_FAULT("renew.word");
        arcly_publish_u64(&w->region->header->hot.config_head, ++w->config_head);
        ARCLY_FAULT("renew.head");
        w->config_gen[id] = (uint32_t)generation;
        store_track(&w->region->tracks[id], &w->tracks[id], w->config_gen[id]);
    }
}

int arcly_writer_set_config(struct arcly_writer *w, uint32_t track, const void *data, uint64_t size, uint32_t width,
                            uint32_t height, const struct arcly_meta *meta) {
    struct arcly_meta config = *meta;
    if (size > w->region->max_config)
        return ARCLY_E_TOO_LARGE;
    const int error = reserve(w, track, size);
    if (error)
        return error;
    renew_configs(w);
    arcly_copy_in(w->region->payload + w->span_pos % w->region->payload_size, data, size);
    store_config(w, track, data, size);
    if (width && height) {
        w->tracks[track].width = width;
        w->tracks[track].height = height;
    }
    store_track(&w->region->tracks[track], &w->tracks[track], w->config_gen[track]);
    config.flags = ARCLY_CONFIG;
    return commit(w, size, &config);
}

/* --------------------------------------------------------------- the rest */

bool arcly_writer_keyframe_requested(struct arcly_writer *w) {
    const uint32_t requests = arcly_load(w->region->header->daemon.keyframe_requests);
    const bool asked = requests != w->keyframe_requests_seen;
    w->keyframe_requests_seen = requests;
    return asked;
}

void arcly_writer_end(struct arcly_writer *w) {
    const int refused = refusal(w);
    w->closed = true;
    if (refused)
        return;
    ARCLY_FAULT("end.enter");
    arcly_publish_u32(&w->region->header->hot.state, ARCLY_ENDED); /* P5 */
    ARCLY_FAULT("end.state");
    arcly_wake(w->region);
}
