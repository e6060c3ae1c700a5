#include "board.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_NS UINT64_C(2000000) /* of one sleep: a wake-up that was missed costs no more */
#define HELLO_NS UINT64_C(5000000) /* eight such frames fill the smallest ring: a subscriber has as long for each */

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bench_now(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_cpu(void) {
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static void sleep_until(uint64_t due_ns) {
    const struct timespec due = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static uint64_t slowest(const struct board *board, uint32_t subscribers) {
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < subscribers; i++) {
        const uint64_t received = atomic_load(&board->lines[i].received);
        least = received < least ? received : least;
    }
    return least;
}

/* ------------------------------------------------------------------ publisher */

/* What the transport took for the frame it was given last; once, and before any waiting. */
static void note_cost(struct gate *gate) {
    if (gate->costs && gate->cpu_begin_ns && gate->given_ns && gate->cost_count < gate->cost_room) {
        const uint64_t cost = bench_now() - gate->given_ns;
        gate->costs[gate->cost_count++] = cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
    }
    gate->given_ns = 0;
}

static bool all_in(const struct gate *gate, uint32_t state) {
    for (uint32_t i = 0; i < gate->subscribers; i++)
        if (atomic_load(&gate->board->lines[i].state) < state)
            return false;
    return true;
}

static uint64_t limit_of(const struct gate *gate) {
    const uint64_t least = slowest(gate->board, gate->subscribers);
    return least > UINT64_MAX - gate->window ? UINT64_MAX : least + gate->window;
}

/* The run proper begins with everything before it received. */
static bool begins(const struct gate *gate) {
    return gate->heard && gate->seq == gate->warmup && gate->cpu_begin_ns == 0;
}

bool gate_waits(struct gate *gate) {
    note_cost(gate);
    if (!gate->heard || gate->last)
        return false;
    if (begins(gate))
        return slowest(gate->board, gate->subscribers) < gate->seq;
    if (gate->seq >= gate->limit && gate->seq >= (gate->limit = limit_of(gate)))
        return true;
    return gate->interval_ns != 0 && gate->due_ns != 0 && bench_now() < gate->due_ns;
}

void gate_sleep(struct gate *gate) {
    struct board *board = gate->board;
    if (!begins(gate) && gate->seq < gate->limit) {
        const uint64_t latest = bench_now() + 50 * LONGEST_NS;
        sleep_until(gate->due_ns < latest ? gate->due_ns : latest);
        return;
    }
    /* Whole strides, so that it is a number that subscribers note. */
    const uint64_t target = begins(gate) ? gate->seq : (gate->seq - gate->window / 2) / gate->stride * gate->stride;
    const uint32_t sampled = atomic_load(&board->wake);
    const struct timespec longest = {0, LONGEST_NS};
    atomic_store(&board->target, target);
    if (slowest(board, gate->subscribers) < target)
        syscall(SYS_futex, &board->wake, FUTEX_WAIT, sampled, &longest, NULL, 0);
    atomic_store(&board->target, UINT64_MAX);
}

static void stamp(struct gate *gate, uint64_t number) {
    memcpy(gate->source, &number, sizeof number);
    if (gate->stamps || gate->costs) {
        gate->given_ns = bench_now();
        memcpy(gate->source + sizeof number, &gate->given_ns, sizeof gate->given_ns);
    }
}


static bool is_last(struct gate *gate) {
    if (gate->seq + 1 >= gate->most + gate->warmup)
        return true;
    if (gate->duration_ns == 0 || gate->seq < gate->warmup || (gate->seq % gate->stride && !gate->interval_ns))
        return false;
    return bench_now() >= gate->deadline_ns;
}

bool gate_next(struct gate *gate) {
    if (!gate->heard) {
        gate->heard = all_in(gate, STATE_HEARD);
        if (!gate->heard) {
            sleep_until(bench_now() + HELLO_NS);
            stamp(gate, MARK_HELLO);
            return true;
        }
    }
    if (gate->last) {
        atomic_store(&gate->board->cpu_ns, bench_cpu() - gate->cpu_begin_ns);
        atomic_store(&gate->board->frames, gate->seq - gate->warmup);
        atomic_store(&gate->board->end_ns, bench_now());
        return false;
    }
    if (begins(gate)) {
        const uint64_t now_ns = bench_now();
        gate->cpu_begin_ns = bench_cpu();
        gate->deadline_ns = now_ns + gate->duration_ns;
        gate->due_ns = now_ns;
        atomic_store(&gate->board->start_ns, now_ns);
    }
    gate->last = is_last(gate);
    stamp(gate, gate->seq++ | (gate->last ? MARK_LAST : 0));
    gate->due_ns += gate->interval_ns;
    return true;
}

/* ----------------------------------------------------------------- subscriber */

uint64_t touch(const void *data, size_t size) {
    const uint8_t *bytes = data;
    uint64_t sum = 0, word = 0;
    size_t at = 0;
    for (; at + sizeof word <= size; at += 64) {
        memcpy(&word, bytes + at, sizeof word);
        sum += word;
    }
    return sum;
}

static volatile uint64_t sink; /* so that what was touched can't be optimised away */

/* Let the publisher go on once this and every other subscriber has what it waits for. */
static void let_go(struct check *check) {
    const uint64_t target = atomic_load(&check->board->target);
    if (check->expected < target || slowest(check->board, check->subscribers) < target)
        return;
    atomic_fetch_add(&check->board->wake, 1);
    syscall(SYS_futex, &check->board->wake, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void note_latency(struct check *check, const void *data) {
    uint64_t given_ns;
    memcpy(&given_ns, (const uint8_t *)data + 8, sizeof given_ns);
    const uint64_t latency = bench_now() - given_ns;
    check->latencies[check->latency_count++] = latency > UINT32_MAX ? UINT32_MAX : (uint32_t)latency;
}

enum verdict check_frame(struct check *check, const void *data, size_t size) {
    uint64_t number;
    if (size != check->size) {
        check->wrong_size = size;
        return VERDICT_WRONG;
    }
    if (check->latencies && check->expected >= check->from && check->latency_count < check->latency_room)
        note_latency(check, data);
    sink = touch(data, size);
    memcpy(&number, data, sizeof number);
    if (number & MARK_HELLO) {
        if (check->latency_count)
            check->latency_count--;
        atomic_store(&check->line->state, STATE_HEARD);
        return VERDICT_MORE;
    }
    const uint64_t seq = number & ~MARK_LAST;
    if (seq != check->expected) {
        check->wrong_number = seq;
        return VERDICT_WRONG;
    }
    if (seq == 0 || seq == check->from)
        check->cpu_begin_ns = bench_cpu();
    check->expected = seq + 1;
    if (number & MARK_LAST) {
        atomic_store(&check->line->done_ns, bench_now());
        atomic_store(&check->line->cpu_ns, bench_cpu() - check->cpu_begin_ns);
        atomic_store(&check->line->received, check->expected);
        atomic_store(&check->line->state, STATE_DONE);
        let_go(check);
        return VERDICT_DONE;
    }
    if (check->expected % check->stride == 0) {
        atomic_store(&check->line->received, check->expected); /* before target is loaded: both sequentially consistent */
        if (atomic_load(&check->board->target) != UINT64_MAX)
            let_go(check);
    }
    return VERDICT_MORE;
}
