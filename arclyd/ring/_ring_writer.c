/* Writer and Span. */
#include "_ring.h"

typedef struct {
    PyObject_HEAD
    glue_state *state;
    RegionObject *region; /* NULL once released */
    int64_t wall_ahead_ns; /* of the monotonic clock, when last compared */
    uint64_t compared_ns;
    PyObject *refusal; /* makes the exception that every call raises from now on, else NULL */
    struct arcly_writer writer;
} WriterObject;

typedef struct {
    PyObject_HEAD
    WriterObject *writer; /* NULL once committed or given back */
    RegionObject *region;
    uint8_t *memory;
    Py_ssize_t size;
    PyObject *view; /* exported by the region, not by the span: so the two are no cycle */
} SpanObject;

static PyObject *fail(WriterObject *self, int error, uint64_t size) {
    glue_state *state = self->state;
    const struct arcly_region *region = self->writer.region;
    switch (error) {
    case ARCLY_E_TOO_LARGE:
        return glue_raise(state, "FrameTooLarge", "(KK)", size, region->max_frame);
    case ARCLY_E_REPLACED:
        return glue_raise(state, "PublisherReplaced", "(s)", region->key);
    case ARCLY_E_CLOSED:
        if (self->writer.closed)
            return glue_raise(state, "PublisherClosed", "()");
        return glue_raise(state, "PublisherClosed", "(s)", "the stream was ended by the daemon");
    case ARCLY_E_TRACKS:
        return glue_raise(state, "RegionCorrupt", "(ss)", "track table", "it is of other tracks than those claimed");
    case ARCLY_E_CORRUPT:
        return glue_raise(state, "RegionCorrupt", "(ss)", "writer's words", "out of range");
    default:
        if (self->writer.reserved)
            PyErr_SetString(PyExc_RuntimeError, "a reserved span is neither committed nor given back");
        else
            PyErr_SetString(PyExc_ValueError, "no such track");
        return NULL;
    }
}

/* Made anew for each raise: one kept exception would collect the frames of all it passed through. */
static PyObject *refuse(const WriterObject *self) {
    PyObject *error = PyObject_CallNoArgs(self->refusal);
    if (error)
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_XDECREF(error);
    return NULL;
}

static PyObject *done(WriterObject *self) {
    return PyLong_FromUnsignedLong(arcly_load(self->writer.region->header->daemon.subscribers));
}

/* ------------------------------------------------------ publish's keywords */

static int keyword(const glue_state *state, PyObject *name) {
    for (int i = 0; i < KW_COUNT; i++)
        if (state->keywords[i] == name)
            return i;
    for (int i = 0; i < KW_COUNT; i++)
        if (PyUnicode_Compare(state->keywords[i], name) == 0)
            return i;
    PyErr_Format(PyExc_TypeError, "unexpected keyword argument %R", name);
    return -1;
}

static int flag(struct arcly_meta *meta, PyObject *value, uint16_t bit) {
    const int truth = value == Py_True ? 1 : value == Py_False ? 0 : PyObject_IsTrue(value);
    if (truth > 0)
        meta->flags |= bit;
    return truth < 0;
}

static int number(int64_t *to, PyObject *value) {
    if (value == Py_None)
        return 0;
    *to = PyLong_AsLongLong(value);
    return *to == -1 && PyErr_Occurred();
}

/* values[i] is the argument named by kwnames[i]. */
/* The wall clock, compared with the monotonic one a hundred times a second rather than for each frame. */
#define COMPARE_EVERY_NS 10000000

static uint64_t wall_clock(WriterObject *self, uint64_t now_ns) {
    if (now_ns - self->compared_ns >= COMPARE_EVERY_NS) {
        self->wall_ahead_ns = (int64_t)(glue_clock(CLOCK_REALTIME) - now_ns);
        self->compared_ns = now_ns;
    }
    return now_ns + (uint64_t)self->wall_ahead_ns;
}

static int parse_meta(WriterObject *self, struct arcly_meta *meta, PyObject *const *values, PyObject *kwnames) {
    const glue_state *state = self->state;
    const Py_ssize_t count = kwnames ? PyTuple_Size(kwnames) : 0;
    int64_t capture_ns = 0;
    int has_pts = 0, has_dts = 0, bad = 0;
    memset(meta, 0, sizeof *meta);
    for (Py_ssize_t i = 0; i < count && !bad; i++) {
        PyObject *value = values[i];
        switch (keyword(state, PyTuple_GetItem(kwnames, i))) {
        case KW_PTS:
            has_pts = value != Py_None;
            bad = number(&meta->pts, value);
            break;
        case KW_DTS:
            has_dts = value != Py_None;
            bad = number(&meta->dts, value);
            break;
        case KW_DURATION:
            bad = number(&meta->duration, value);
            break;
        case KW_KEYFRAME:
            bad = flag(meta, value, ARCLY_KEY);
            break;
        case KW_DISCONTINUITY:
            bad = flag(meta, value, ARCLY_DISCONTINUITY);
            break;
        case KW_DROPPABLE:
            bad = flag(meta, value, ARCLY_DROPPABLE);
            break;
        case KW_CORRUPT:
            bad = flag(meta, value, ARCLY_CORRUPT);
            break;
        case KW_CAPTURE_NS:
            bad = number(&capture_ns, value);
            break;
        default:
            bad = 1;
        }
    }
    if (bad)
        return -1;
    if (!has_pts) {
        PyErr_SetString(PyExc_TypeError, "missing required keyword argument 'pts'");
        return -1;
    }
    if (!has_dts)
        meta->dts = meta->pts;
    meta->publish_ns = arcly_now();
    meta->capture_ns = capture_ns ? (uint64_t)capture_ns : wall_clock(self, meta->publish_ns);
    return 0;
}

static int parse_track(PyObject *value, uint32_t *track) {
    const long id = PyLong_AsLong(value);
    if (id == -1 && PyErr_Occurred())
        return -1;
    *track = id < 0 || id >= ARCLY_TRACKS ? ARCLY_TRACKS : (uint32_t)id;
    return 0;
}

/* -------------------------------------------------------------------- Span */

static void span_release(SpanObject *self) {
    Py_CLEAR(self->writer);
    if (!self->view)
        return;
    /* A view kept past the commit must not be written through: it is closed for good. (What was made of it, another view
     * or an array, can't be.) */
    if (Py_REFCNT(self->view) > 1) {
        PyObject *released = PyObject_CallMethodObjArgs(self->view, self->region->state->release, NULL);
        if (!released)
            PyErr_Clear();
        Py_XDECREF(released);
    }
    Py_CLEAR(self->view);
}

static PyObject *span_commit(SpanObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    struct arcly_meta meta;
    if (nargs != 1) {
        PyErr_SetString(PyExc_TypeError, "commit() takes the size and keyword arguments");
        return NULL;
    }
    if (!self->writer) {
        PyErr_SetString(PyExc_RuntimeError, "this span was committed or given back");
        return NULL;
    }
    const Py_ssize_t size = PyLong_AsSsize_t(args[0]);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (size < 0 || size > self->size) {
        PyErr_Format(PyExc_ValueError, "size %zd is outside the reserved 0..%zd", size, self->size);
        return NULL;
    }
    if (parse_meta(self->writer, &meta, args + 1, kwnames))
        return NULL;
    WriterObject *writer = self->writer;
    if (writer->writer.closed)
        return fail(writer, ARCLY_E_CLOSED, 0);
    const int error = arcly_writer_commit(&writer->writer, (uint64_t)size, &meta);
    PyObject *result = error < 0 ? fail(writer, error, (uint64_t)size) : done(writer);
    span_release(self);
    return result;
}

static PyObject *span_abort(SpanObject *self, PyObject *Py_UNUSED(none)) {
    if (self->writer)
        arcly_writer_abort(&self->writer->writer);
    span_release(self);
    Py_RETURN_NONE;
}

static PyObject *span_enter(PyObject *self, PyObject *Py_UNUSED(none)) {
    return Py_NewRef(self);
}

static PyObject *span_exit(SpanObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs)) {
    return span_abort(self, NULL);
}

static PyObject *span_buffer(SpanObject *self, void *Py_UNUSED(closure)) {
    if (!self->writer) {
        PyErr_SetString(PyExc_BufferError, "this span was committed or given back");
        return NULL;
    }
    if (!self->view) {
        self->region->lent = self->memory;
        self->region->lent_size = self->size;
        self->view = PyMemoryView_FromObject((PyObject *)self->region);
        self->region->lent = NULL;
    }
    return Py_XNewRef(self->view);
}

static void span_dealloc(SpanObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->writer)
        arcly_writer_abort(&self->writer->writer);
    span_release(self);
    Py_DECREF((PyObject *)self->region);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyGetSetDef span_getset[] = {
    {"buffer", (getter)span_buffer, NULL, "writable memoryview of the reserved bytes", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef span_methods[] = {
    {"commit", (PyCFunction)(void (*)(void))span_commit, METH_FASTCALL | METH_KEYWORDS,
     "commit(size, *, pts, dts=None, duration=None, keyframe=False, discontinuity=False, droppable=False, "
     "corrupt=False, capture_ns=None)\n--\n\nPublish the first `size` bytes; returns the number of subscribers."},
    {"abort", (PyCFunction)span_abort, METH_NOARGS, "abort()\n--\n\nGive the memory back unpublished."},
    {"__enter__", (PyCFunction)span_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))span_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot span_slots[] = {
    {Py_tp_doc, "Memory of the frame to come, to be filled in place."},
    {Py_tp_dealloc, span_dealloc},
    {Py_tp_getset, span_getset},
    {Py_tp_methods, span_methods},
    {0, NULL},
};

PyType_Spec glue_span_spec = {"arclyd.Span", sizeof(SpanObject), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, span_slots};

/* ------------------------------------------------------------------ Writer */

static int parse_tracks(PyObject *sequence, struct arcly_track_spec *tracks) {
    const Py_ssize_t count = PySequence_Size(sequence);
    if (count < 0)
        return -1;
    if (count == 0 || count > ARCLY_TRACKS) {
        PyErr_Format(PyExc_ValueError, "%zd tracks, expected 1..%d", count, ARCLY_TRACKS);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        struct arcly_track_spec *t = &tracks[i];
        PyObject *item = PySequence_GetItem(sequence, i);
        PyObject *tuple = item ? PySequence_Tuple(item) : NULL;
        const int ok = tuple && PyArg_ParseTuple(tuple, "II(II)IIII", &t->kind, &t->codec, &t->num, &t->den, &t->width,
                                                 &t->height, &t->sample_rate, &t->channels);
        Py_XDECREF(item);
        Py_XDECREF(tuple);
        if (!ok)
            return -1;
    }
    return (int)count;
}

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"region", "tracks", NULL};
    struct arcly_track_spec tracks[ARCLY_TRACKS];
    PyObject *region, *sequence;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:Writer", names, &region, &sequence))
        return NULL;
    glue_state *state = PyType_GetModuleState(type);
    if (!PyObject_TypeCheck(region, state->region_type) || !((RegionObject *)region)->writable) {
        PyErr_SetString(PyExc_TypeError, "a Writer needs a writable Region");
        return NULL;
    }
    const int count = parse_tracks(sequence, tracks);
    if (count < 0)
        return NULL;
    WriterObject *self = PyObject_New(WriterObject, type);
    if (!self)
        return NULL;
    self->state = state;
    self->region = (RegionObject *)Py_NewRef(region);
    self->refusal = NULL;
    self->compared_ns = 0;
    const int error = arcly_writer_claim(&self->writer, &self->region->region, tracks, (uint32_t)count, (uint32_t)getpid());
    if (error == ARCLY_OK)
        return (PyObject *)self;
    if (error == ARCLY_E_ARGUMENT)
        PyErr_SetString(PyExc_ValueError, "a track with an unknown kind or a time base of zero");
    else if (error == ARCLY_E_CLOSED)
        glue_raise(state, "PublisherClosed", "(s)", "the stream of this region is over");
    else
        fail(self, error, 0);
    Py_DECREF(self);
    return NULL;
}

static void writer_dealloc(WriterObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF(self->refusal);
    Py_XDECREF(self->region);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *writer_publish(WriterObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    struct arcly_meta meta;
    uint32_t track;
    uint8_t *memory;
    Py_buffer payload;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "publish() takes track, payload and keyword arguments");
        return NULL;
    }
    if (self->refusal)
        return refuse(self);
    if (parse_track(args[0], &track) || parse_meta(self, &meta, args + 2, kwnames) ||
        PyObject_GetBuffer(args[1], &payload, PyBUF_SIMPLE))
        return NULL;
    int error = arcly_writer_reserve(&self->writer, track, (uint64_t)payload.len, &memory);
    if (error == ARCLY_OK) {
        arcly_copy_in(memory, payload.buf, (size_t)payload.len);
        error = arcly_writer_commit(&self->writer, (uint64_t)payload.len, &meta);
    }
    const uint64_t size = (uint64_t)payload.len;
    PyBuffer_Release(&payload);
    return error < 0 ? fail(self, error, size) : done(self);
}

static PyObject *writer_reserve(WriterObject *self, PyObject *const *args, Py_ssize_t nargs) {
    uint32_t track;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "reserve() takes track and size");
        return NULL;
    }
    if (self->refusal)
        return refuse(self);
    const Py_ssize_t size = PyLong_AsSsize_t(args[1]);
    if ((size == -1 && PyErr_Occurred()) || parse_track(args[0], &track))
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "a negative size");
        return NULL;
    }
    SpanObject *span = PyObject_New(SpanObject, self->region->state->span_type);
    if (!span)
        return NULL;
    span->writer = NULL;
    span->view = NULL;
    span->region = (RegionObject *)Py_NewRef((PyObject *)self->region);
    span->size = size;
    const int error = arcly_writer_reserve(&self->writer, track, (uint64_t)size, &span->memory);
    if (error) {
        Py_DECREF(span);
        return fail(self, error, (uint64_t)size);
    }
    span->writer = (WriterObject *)Py_NewRef((PyObject *)self);
    return (PyObject *)span;
}

static PyObject *writer_set_config(WriterObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"track", "config", "width", "height", NULL};
    struct arcly_meta meta = {.capture_ns = glue_clock(CLOCK_REALTIME), .publish_ns = arcly_now()};
    unsigned int width = 0, height = 0;
    PyObject *which;
    uint32_t track;
    Py_buffer config;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oy*|II:set_config", names, &which, &config, &width, &height))
        return NULL;
    if (self->refusal || parse_track(which, &track)) {
        PyBuffer_Release(&config);
        return self->refusal ? refuse(self) : NULL;
    }
    if (track < self->writer.track_count) { /* a configuration stands where its track stands */
        meta.pts = arcly_load(self->region->region.tracks[track].last_pts);
        meta.dts = arcly_load(self->region->region.tracks[track].last_dts);
    }
    const uint64_t size = (uint64_t)config.len;
    const int error = arcly_writer_set_config(&self->writer, track, config.buf, size, width, height, &meta);
    PyBuffer_Release(&config);
    if (error == ARCLY_E_TOO_LARGE)
        return glue_raise(self->region->state, "ConfigTooLarge", "(KK)", size,
                          Py_MIN((uint64_t)self->region->region.max_config, self->region->region.max_frame));
    if (error < 0)
        return fail(self, error, size);
    return PyLong_FromUnsignedLong(self->writer.config_gen[track]);
}

static PyObject *writer_keyframe_requested(WriterObject *self, PyObject *Py_UNUSED(none)) {
    return PyBool_FromLong(!self->writer.closed && arcly_writer_keyframe_requested(&self->writer));
}

static PyObject *writer_end(WriterObject *self, PyObject *Py_UNUSED(none)) {
    if (self->region)
        arcly_writer_end(&self->writer);
    Py_RETURN_NONE;
}

static PyObject *writer_release(WriterObject *self, PyObject *Py_UNUSED(none)) {
    self->writer.closed = true;
    if (!self->refusal) {
        self->refusal = PyObject_GetAttrString(self->state->errors, "PublisherClosed");
        if (!self->refusal)
            return NULL;
    }
    Py_CLEAR(self->region); /* a span has its own hold on it */
    Py_RETURN_NONE;
}

static PyObject *writer_detach(WriterObject *self, PyObject *Py_UNUSED(none)) {
    self->writer.closed = true;
    Py_RETURN_NONE;
}

static PyObject *writer_refuse(WriterObject *self, PyObject *refusal) {
    PyObject *before = self->refusal;
    self->refusal = Py_NewRef(refusal);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static PyMemberDef writer_members[] = {
    {"epoch", T_UINT, offsetof(WriterObject, writer) + offsetof(struct arcly_writer, epoch), READONLY,
     "incarnation of this writer"},
    {"gated", T_ULONGLONG, offsetof(WriterObject, writer) + offsetof(struct arcly_writer, gated), READONLY,
     "frames not published because a re-claimed stream awaits its keyframe"},
    {"region", T_OBJECT, offsetof(WriterObject, region), READONLY, "the region, None once released"},
    {"reserved", T_BOOL, offsetof(WriterObject, writer) + offsetof(struct arcly_writer, reserved), READONLY,
     "a span is neither committed nor given back"},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef writer_methods[] = {
    {"publish", (PyCFunction)(void (*)(void))writer_publish, METH_FASTCALL | METH_KEYWORDS,
     "publish(track, payload, *, pts, dts=None, duration=None, keyframe=False, discontinuity=False, droppable=False, "
     "corrupt=False, capture_ns=None)\n--\n\nPublish one frame; returns the number of attached subscribers."},
    {"reserve", (PyCFunction)(void (*)(void))writer_reserve, METH_FASTCALL,
     "reserve(track, size)\n--\n\nA Span of that many bytes to fill in place."},
    {"set_config", (PyCFunction)(void (*)(void))writer_set_config, METH_VARARGS | METH_KEYWORDS,
     "set_config(track, config, width=0, height=0)\n--\n\nStart a configuration generation; returns its number."},
    {"keyframe_requested", (PyCFunction)writer_keyframe_requested, METH_NOARGS,
     "keyframe_requested()\n--\n\nTrue once for each batch of requests."},
    {"end", (PyCFunction)writer_end, METH_NOARGS, "end()\n--\n\nThe stream is over; idempotent."},
    {"detach", (PyCFunction)writer_detach, METH_NOARGS, "detach()\n--\n\nStop writing, leave the stream open."},
    {"release", (PyCFunction)writer_release, METH_NOARGS,
     "release()\n--\n\nAs detach, and let go of the region. Idempotent."},
    {"refuse", (PyCFunction)writer_refuse, METH_O,
     "refuse(refusal)\n--\n\nPublish nothing any more: every call raises what `refusal()` returns."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, "Writer(region, tracks)\n--\n\nThe one writer of a region."},
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_members, writer_members},
    {Py_tp_methods, writer_methods},
    {0, NULL},
};

PyType_Spec glue_writer_spec = {"arclyd.ring._ring.Writer", sizeof(WriterObject), 0, Py_TPFLAGS_DEFAULT, writer_slots};
