/* _ring.h - what the parts of the CPython glue share.
 *
 * Glue only: parse, call the core, wrap. A Region object owns the mapping; frames, readers and writers hold a
 * reference to it, so the memory outlives whatever points into it.
 */
#ifndef ARCLY_GLUE_H
#define ARCLY_GLUE_H

/* Readers, writers and spans are guarded by the global lock, and the stable interface has no build without it. */
#include <pyconfig.h>
#ifdef Py_GIL_DISABLED
#error "arclyd needs an interpreter with the global lock: a free-threaded build of Python is not supported"
#endif

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <time.h>

#include "core/wait.h"

enum { KW_PTS, KW_DTS, KW_DURATION, KW_KEYFRAME, KW_DISCONTINUITY, KW_DROPPABLE, KW_CORRUPT, KW_CAPTURE_NS, KW_COUNT };

typedef struct {
    PyObject *errors; /* the module arclyd.errors */
    PyTypeObject *region_type, *frame_type, *gap_type, *span_type, *writer_type, *reader_type, *receiver_type, *waiter_type;
    PyTypeObject *track_info, *gop_info, *config_info, *counters;
    PyObject *release, *recv, *frame_after, *end_of_stream; /* interned names */
    PyObject *keywords[KW_COUNT]; /* interned names of publish's keyword arguments */
} glue_state;

typedef struct {
    PyObject_HEAD
    glue_state *state;
    PyObject *module; /* keeps state alive */
    struct arcly_region region;
    void *base;
    size_t mapped;
    int writable;
    uint8_t *lent; /* what the next view exports: a span's memory; else NULL */
    Py_ssize_t lent_size;
} RegionObject;

typedef struct {
    PyObject_HEAD
    RegionObject *region;
    PyObject *owned; /* bytes of a configuration, else NULL: the payload lies in the region */
    struct arcly_frame frame;
} FrameObject;

typedef struct {
    PyObject_HEAD
    RegionObject *region;
    int64_t spin_ns; /* how long it looks for a frame before it sleeps */
    struct arcly_reader reader;
    struct arcly_item item;
} ReaderObject;

/* How long one sleep lasts at most. It bounds what a writer killed between publishing and waking can cost, and
 * lets a kick from this process be seen; two wake-ups a second are not measurable. */
#define GLUE_SLICE_NS INT64_C(500000000)

static inline uint64_t glue_clock(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Raise class `name` of arclyd.errors with arguments built by `format` (a tuple); returns NULL. */
PyObject *glue_raise(glue_state *state, const char *name, const char *format, ...);

PyObject *glue_new_frame(RegionObject *region, const struct arcly_frame *frame, PyObject *owned);
PyObject *glue_new_gap(glue_state *state, uint64_t missed, uint64_t resumed_at);

/* The next Frame or Gap; None: nothing within that time (-1: for ever), or over; NULL: an error is set. */
PyObject *glue_receive(ReaderObject *self, long long timeout_ns);

extern PyType_Spec glue_frame_spec, glue_gap_spec, glue_span_spec, glue_writer_spec, glue_reader_spec, glue_region_spec,
    glue_receiver_spec, glue_waiter_spec;
extern PyStructSequence_Desc glue_track_info, glue_gop_info, glue_config_info, glue_counters;

#endif
