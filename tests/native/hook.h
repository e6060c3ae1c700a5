/* hook.h - a stop before each atomic store of the core, for tests that look, or kill, between any two of them.
 *
 * Included ahead of everything (-include), so that the core is built from its unchanged source. With
 * ARCLY_ATOMIC_COPY payload bytes are stored, and stopped at, one by one.
 */
#ifndef ARCLY_HOOK_H
#define ARCLY_HOOK_H

#include <stdatomic.h>

void before_store(void);

#undef atomic_store_explicit
#undef atomic_fetch_add_explicit
#if defined(__clang__)
#define atomic_store_explicit(object, value, order) (before_store(), __c11_atomic_store(object, value, order))
#define atomic_fetch_add_explicit(object, value, order) (before_store(), __c11_atomic_fetch_add(object, value, order))
#else
#define atomic_store_explicit(object, value, order) (before_store(), __atomic_store_n(object, value, order))
#define atomic_fetch_add_explicit(object, value, order) (before_store(), __atomic_fetch_add(object, value, order))
#endif

#endif
