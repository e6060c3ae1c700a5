/* Reader. */
#include "_ring.h"

static int parse_start(const char *word, long long value, enum arcly_start *start) {
    static const struct {
        const char *word;
        enum arcly_start start;
    } words[] = {{"keyframe", ARCLY_FROM_KEYFRAME}, {"live", ARCLY_FROM_LIVE}, {"oldest", ARCLY_FROM_OLDEST},
                 {"seq", ARCLY_FROM_SEQ}, {"ago", ARCLY_FROM_AGO}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i].word) == 0 && value >= 0) {
            *start = words[i].start;
            return 0;
        }
    PyErr_Format(PyExc_ValueError, "unusable start (%s, %lld)", word, value);
    return -1;
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"region", "start", "resync_oldest", "track_mask", "spin_ns", NULL};
    PyObject *region;
    const char *word = "keyframe";
    long long value = 0;
    int resync_oldest = 0;
    unsigned int mask = UINT32_MAX, spin_ns = 0;
    enum arcly_start start;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|(sL)$pII:Reader", names, &region, &word, &value, &resync_oldest,
                                     &mask, &spin_ns) ||
        parse_start(word, value, &start))
        return NULL;
    glue_state *state = PyType_GetModuleState(type);
    if (!PyObject_TypeCheck(region, state->region_type)) {
        PyErr_SetString(PyExc_TypeError, "a Reader needs a Region");
        return NULL;
    }
    ReaderObject *self = PyObject_New(ReaderObject, type);
    if (!self)
        return NULL;
    self->region = (RegionObject *)Py_NewRef(region);
    self->spin_ns = spin_ns;
    arcly_reader_init(&self->reader, &self->region->region, start, (uint64_t)value, resync_oldest, mask);
    return (PyObject *)self;
}

static void reader_dealloc(ReaderObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_DECREF(self->region);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* What the core found, as an object; NULL with no error set: nothing, or over. */
static PyObject *wrap(ReaderObject *self, int found) {
    switch (found) {
    case ARCLY_GOT_FRAME:
        return glue_new_frame(self->region, &self->item.frame, NULL);
    case ARCLY_GOT_GAP:
        return glue_new_gap(self->region->state, self->item.missed, self->item.resumed_at);
    case ARCLY_GOT_CONFIG: {
        PyObject *bytes = PyBytes_FromStringAndSize((const char *)self->item.config.data, self->item.config.size);
        PyObject *frame = bytes ? glue_new_frame(self->region, &self->item.frame, bytes) : NULL;
        Py_XDECREF(bytes);
        return frame;
    }
    case ARCLY_NOTHING:
    case ARCLY_OVER:
        return NULL;
    default:
        return glue_raise(self->region->state, "RegionCorrupt", "(ss)", "frame",
                          "the slot, join point or configuration contradicts the header");
    }
}

/* Sleep until `deadline_ns` (0: for ever) or something changed. -1: a signal handler raised. */
static int sleep_on(ReaderObject *self, uint32_t sampled, uint64_t now_ns, uint64_t deadline_ns) {
    int64_t slice = GLUE_SLICE_NS;
    if (deadline_ns && deadline_ns - now_ns < (uint64_t)slice)
        slice = (int64_t)(deadline_ns - now_ns);
    Py_BEGIN_ALLOW_THREADS
    if (!self->spin_ns || !arcly_spin(&self->region->region, sampled, slice < self->spin_ns ? slice : self->spin_ns))
        arcly_wait(&self->region->region, sampled, slice);
    Py_END_ALLOW_THREADS
    /* However the sleep ended: a signal just before it, or taken by another thread, did not interrupt it. */
    return PyErr_CheckSignals();
}

/* The core's answer, once it is other than "nothing yet" or the time is up; -100: a signal handler raised. */
#define RAISED -100

static int next(ReaderObject *self, long long timeout_ns) {
    const struct arcly_region *region = &self->region->region;
    uint64_t deadline_ns = 0;
    for (;;) {
        const uint32_t sampled = arcly_wake_sample(region);
        uint64_t now_ns = self->reader.started ? 0 : arcly_now(); /* only a first join asks for the time */
        const int found = arcly_reader_next(&self->reader, &self->item, now_ns);
        if (found != ARCLY_NOTHING || timeout_ns == 0)
            return found;
        if (!now_ns)
            now_ns = arcly_now();
        if (timeout_ns > 0 && deadline_ns == 0)
            deadline_ns = now_ns + (uint64_t)timeout_ns;
        if (deadline_ns && now_ns >= deadline_ns)
            return ARCLY_NOTHING;
        if (sleep_on(self, sampled, now_ns, deadline_ns))
            return RAISED;
    }
}

PyObject *glue_receive(ReaderObject *self, long long timeout_ns) {
    const int found = next(self, timeout_ns);
    if (found == RAISED)
        return NULL;
    if (found == ARCLY_NOTHING || found == ARCLY_OVER)
        Py_RETURN_NONE;
    return wrap(self, found);
}

static PyObject *reader_recv(ReaderObject *self, PyObject *timeout) {
    const long long timeout_ns = PyLong_AsLongLong(timeout);
    if (timeout_ns == -1 && PyErr_Occurred())
        return NULL;
    return glue_receive(self, timeout_ns);
}

static PyObject *reader_recv_many(ReaderObject *self, PyObject *args) {
    long long timeout_ns;
    Py_ssize_t most;
    if (!PyArg_ParseTuple(args, "nL:recv_many", &most, &timeout_ns))
        return NULL;
    PyObject *list = PyList_New(0);
    while (list && PyList_Size(list) < most) {
        const int found = next(self, PyList_Size(list) ? 0 : timeout_ns);
        if (found == ARCLY_NOTHING || found == ARCLY_OVER)
            break;
        PyObject *object = found == RAISED ? NULL : wrap(self, found);
        if (!object || PyList_Append(list, object))
            Py_CLEAR(list);
        Py_XDECREF(object);
    }
    return list;
}

static PyObject *reader_wait(ReaderObject *self, PyObject *timeout) {
    const long long timeout_ns = PyLong_AsLongLong(timeout);
    if (timeout_ns == -1 && PyErr_Occurred())
        return NULL;
    const uint64_t now_ns = arcly_now();
    const uint64_t deadline_ns = timeout_ns < 0 ? 0 : now_ns + (uint64_t)timeout_ns;
    const uint32_t sampled = arcly_wake_sample(&self->region->region);
    /* The try works on a copy, so that nothing is taken from the reader. */
    struct arcly_reader trial = self->reader;
    struct arcly_item item;
    if (arcly_reader_next(&trial, &item, now_ns) != ARCLY_NOTHING)
        Py_RETURN_TRUE;
    if (timeout_ns == 0)
        Py_RETURN_FALSE;
    if (sleep_on(self, sampled, now_ns, deadline_ns))
        return NULL;
    return PyBool_FromLong(arcly_wake_sample(&self->region->region) != sampled || arcly_load(self->reader.kicked));
}

static PyObject *reader_lag(ReaderObject *self, PyObject *Py_UNUSED(none)) {
    const struct arcly_region *region = &self->region->region;
    const uint64_t head = arcly_acquire_u64(&region->header->hot.head);
    struct arcly_frame frame = {0};
    uint64_t seq = self->reader.next, bytes = 0, ns = 0;
    const uint64_t frames = head > seq ? head - seq : 0;
    if (frames && arcly_read(region, seq, &frame) != ARCLY_OK)
        seq = arcly_oldest(region); /* lapped: what can still be measured */
    if (frames && arcly_read(region, seq, &frame) == ARCLY_OK) {
        const uint64_t total = arcly_load(region->header->counters.total_bytes);
        const uint64_t last = arcly_load(region->header->hot.last_publish_ns);
        bytes = total > frame.bytes_before ? total - frame.bytes_before : 0;
        ns = last > frame.publish_ns ? last - frame.publish_ns : 0;
    }
    return Py_BuildValue("KKK", (unsigned long long)frames, (unsigned long long)bytes, (unsigned long long)ns);
}

static PyObject *reader_kick(ReaderObject *self, PyObject *closed) {
    const unsigned long word = PyLong_AsUnsignedLong(closed);
    if (word == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    arcly_publish_u32(&self->reader.kicked, (uint32_t)word);
    arcly_nudge(&self->region->region);
    Py_RETURN_NONE;
}

static PyObject *reader_awaiting(ReaderObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(!self->reader.joined);
}

#define AT(field) (offsetof(ReaderObject, reader) + offsetof(struct arcly_reader, field))

static PyMemberDef reader_members[] = {
    {"cursor", T_ULONGLONG, AT(next), READONLY, "sequence of the next frame wanted"},
    {"missed", T_ULONGLONG, AT(missed), READONLY, "frames lost so far"},
    {"closed", T_UINT, AT(closed), READONLY, "why the stream is over for this reader, 0: it is not"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef reader_getset[] = {
    {"awaiting_keyframe", (getter)reader_awaiting, NULL, "no join point is usable yet", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef reader_methods[] = {
    {"recv", (PyCFunction)reader_recv, METH_O,
     "recv(timeout_ns)\n--\n\nThe next Frame or Gap; None: nothing within that time (-1: for ever), or over."},
    {"recv_many", (PyCFunction)reader_recv_many, METH_VARARGS,
     "recv_many(max_frames, timeout_ns)\n--\n\nWhat is there at once; waits only for the first."},
    {"wait", (PyCFunction)reader_wait, METH_O,
     "wait(timeout_ns)\n--\n\nTrue: recv may have something to say. Sleeps half a second at most."},
    {"lag", (PyCFunction)reader_lag, METH_NOARGS, "lag()\n--\n\n(frames, payload bytes, ns) behind the head."},
    {"kick", (PyCFunction)reader_kick, METH_O, "kick(closed)\n--\n\nEnd this reader alone, from any thread."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "Reader(region, start=('keyframe', 0), *, resync_oldest=False, track_mask=0xFFFFFFFF, spin_ns=0)\n--\n\n"
                "A cursor over a region."},
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_members, reader_members},
    {Py_tp_getset, reader_getset},
    {Py_tp_methods, reader_methods},
    {0, NULL},
};

PyType_Spec glue_reader_spec = {"arclyd.ring._ring.Reader", sizeof(ReaderObject), 0, Py_TPFLAGS_DEFAULT, reader_slots};
