/* atomic.h - the memory orders of the ring, all in one place.
 *
 * Every cross-process ordering in ring.c goes through a name of this file, and
 * each name says which of the pairs P1..P6 it belongs to. shm_layout.md uses
 * the same labels and argues why each pair is enough.
 *
 *   P1  announce  ->  overwrite      writer: arcly_announce_fence
 *                                    reader: arcly_check_fence
 *       Whoever saw a byte written after the fence also sees the watermark and
 *       the busy mark stored before it.
 *   P2  fields    ->  slot word      writer: arcly_publish_u64 (release)
 *                                    reader: arcly_acquire_u64
 *       Whoever saw the published word sees the slot's fields and the payload.
 *   P3  slot      ->  GOP entry -> head
 *                                    writer: arcly_publish_u64 (release)
 *                                    reader: arcly_acquire_u64
 *       Head is never visible before its slot and its join point.
 *   P4  everything -> wake word      writer: arcly_bump_u32 (release)
 *                                    reader: arcly_acquire_u32, before it looks
 *       A reader that slept on an old wake word is woken, one that looked after
 *       the bump sees the frame.
 *   P5  state, closed               writer or daemon: arcly_publish_u32 (release)
 *                                    reader: arcly_acquire_u32
 *       Whoever sees the end also sees every frame before it.
 *   P6  wake word  ->  clock          writer: arcly_clock_fence between the two
 *                                    reader: arcly_clock_fence, then the word
 *       Of a writer that looks at the clock after the bump, and a reader that
 *       does so before it compares the word: if the writer looked first, the
 *       reader finds the bump.
 *
 * A store-release of the watermark would not do for P1: release orders what
 * comes *before* the store, and the payload is written *after* it. A
 * load-acquire of the watermark would not do either: acquire orders what comes
 * after the load, and the payload was read before. Hence the two fences.
 */
#ifndef ARCLY_ATOMIC_H
#define ARCLY_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "fault.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics must be lock-free");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && _Alignof(_Atomic uint64_t) == 8, "atomics are plain words");
_Static_assert(sizeof(_Atomic uint32_t) == 4 && _Alignof(_Atomic uint32_t) == 4, "atomics are plain words");
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "regions are little-endian"
#endif

typedef _Atomic uint64_t arcly_u64;
typedef _Atomic int64_t arcly_i64;
typedef _Atomic uint32_t arcly_u32;
typedef _Atomic uint16_t arcly_u16;
typedef _Atomic uint8_t arcly_u8;

#define arcly_load(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define arcly_store(word, value) atomic_store_explicit(&(word), (value), memory_order_relaxed)

static inline uint64_t arcly_acquire_u64(const arcly_u64 *word) {
    return atomic_load_explicit((arcly_u64 *)word, memory_order_acquire);
}
static inline uint32_t arcly_acquire_u32(const arcly_u32 *word) {
    return atomic_load_explicit((arcly_u32 *)word, memory_order_acquire);
}
static inline void arcly_publish_u64(arcly_u64 *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_release);
}
static inline void arcly_publish_u32(arcly_u32 *word, uint32_t value) {
    atomic_store_explicit(word, value, memory_order_release);
}
static inline void arcly_bump_u32(arcly_u32 *word) {
    atomic_fetch_add_explicit(word, 1, memory_order_release);
}

/* P6: between a look at the clock and what must not be on its other side. */
static inline void arcly_clock_fence(void) {
#if defined(__x86_64__)
    /* The bump is a locked instruction and the clock is read behind lfence; a system call orders as much. */
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Between two looks of a loop that spins. */
static inline void arcly_pause(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* P1, writer's half: after the announcement, before the first byte it covers.
 * On x86 also sfence: a large memcpy may use non-temporal stores, which a
 * compiler-level release fence does not order. */
static inline void arcly_announce_fence(void) {
#ifndef ARCLY_MUTANT_NO_ANNOUNCE_FENCE
    atomic_thread_fence(memory_order_release);
#if defined(__x86_64__)
    _mm_sfence();
#endif
#endif
}

/* P1, reader's half: after the last byte was read, before the check. */
static inline void arcly_check_fence(void) {
#ifndef ARCLY_MUTANT_NO_CHECK_FENCE
    atomic_thread_fence(memory_order_acquire);
#endif
}

/* The payload's way in and out. A seqlock reads what may be written at the same
 * time and throws it away afterwards; a race detector can't know that, so under
 * one the copy goes word by word through relaxed atomics. */
#if defined(__SANITIZE_THREAD__)
#define ARCLY_ATOMIC_COPY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ARCLY_ATOMIC_COPY 1
#endif
#endif

static inline void arcly_copy_in(uint8_t *region, const void *from, size_t size) {
#ifdef ARCLY_ATOMIC_COPY
    for (size_t i = 0; i < size; i++)
        atomic_store_explicit((arcly_u8 *)(region + i), ((const uint8_t *)from)[i], memory_order_relaxed);
#elif defined(ARCLY_FAULTS)
    memcpy(region, from, size / 2);
    ARCLY_FAULT("copy.half");
    memcpy(region + size / 2, (const uint8_t *)from + size / 2, size - size / 2);
    ARCLY_FAULT("copy.whole");
#else
    memcpy(region, from, size);
#endif
}

static inline void arcly_copy_out(void *to, const uint8_t *region, size_t size) {
#ifdef ARCLY_ATOMIC_COPY
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = atomic_load_explicit((arcly_u8 *)(region + i), memory_order_relaxed);
#else
    memcpy(to, region, size);
#endif
}

#endif
