/* board.h - what the processes of one run share, and the two loops' inner halves.
 *
 * A run is one publisher and n subscribers. The *board* is a small shared mapping: the publisher's words, and a line
 * for each subscriber. It carries the flow control, which is the harness's and so the same for every transport: a
 * subscriber notes how many frames it has (every `stride` frames), the publisher goes on while the slowest is less than
 * `window` behind, and sleeps else until it has caught up by half a window. So nothing is ever lost for want of room,
 * and a run that lost or reordered anything is an error.
 *
 * A frame begins with two words, the rest is filler: its number (with MARK_LAST on the last, MARK_HELLO on those sent
 * before the run until every subscriber has seen one, for transports that drop what nobody has subscribed to yet) and,
 * where latency is measured, the monotonic time just before it was handed to the transport.
 */
#ifndef BENCH_BOARD_H
#define BENCH_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK_LAST (UINT64_C(1) << 63)
#define MARK_HELLO (UINT64_C(1) << 62)

enum state { STATE_STARTING, STATE_ATTACHED, STATE_HEARD, STATE_DONE };

struct line { /* one subscriber's; nobody else writes it */
    _Alignas(128) _Atomic uint64_t received;
    _Atomic uint32_t state;
    _Atomic uint64_t done_ns, cpu_ns;
};

struct board {
    _Alignas(128) _Atomic uint32_t wake; /* bumped by whoever lets the publisher go on */
    _Atomic uint64_t target;             /* it sleeps until all have that many; UINT64_MAX: it is awake */
    _Alignas(128) _Atomic uint64_t start_ns, end_ns, cpu_ns, frames;
    _Alignas(128) struct line lines[];
};

static inline size_t board_size(uint32_t subscribers) {
    return sizeof(struct board) + subscribers * sizeof(struct line);
}

/* ------------------------------------------------------------------ publisher */

struct gate {
    struct board *board;
    uint32_t subscribers;
    uint8_t *source;
    size_t size;
    uint64_t window, stride, warmup, most; /* frames */
    uint64_t duration_ns, interval_ns;     /* 0: none, as fast as it goes */
    bool stamps;                           /* each frame with its time */
    uint64_t seq, limit, deadline_ns, due_ns, cpu_begin_ns;
    bool heard, last;
    uint32_t *costs; /* ns that each frame spent in the transport; NULL: not asked for */
    uint64_t cost_count, cost_room, given_ns;
};

/* Whether the next gate_next has to sleep first. */
bool gate_waits(struct gate *gate);
/* Sleep until gate_waits is false; at most some milliseconds, so that signals are seen. */
void gate_sleep(struct gate *gate);
/* Stamp the next frame into the source: true; false: the run is over. */
bool gate_next(struct gate *gate);

/* ----------------------------------------------------------------- subscriber */

struct check {
    struct board *board;
    struct line *line;
    uint32_t subscribers;
    size_t size;
    uint64_t stride, expected, cpu_begin_ns, from; /* latencies count from this frame on */
    uint32_t *latencies;
    uint64_t latency_count, latency_room;
    uint64_t wrong_number;
    size_t wrong_size;
};

enum verdict { VERDICT_DONE, VERDICT_MORE, VERDICT_WRONG };

/* Read one word of each 64-byte line. */
uint64_t touch(const void *data, size_t size);
/* Touch a frame and note that it came. */
enum verdict check_frame(struct check *check, const void *data, size_t size);

uint64_t bench_now(void);
uint64_t bench_cpu(void);

#endif
