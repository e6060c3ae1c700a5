/* Frame and Gap. */
#include "_ring.h"

PyObject *glue_new_frame(RegionObject *region, const struct arcly_frame *frame, PyObject *owned) {
    PyTypeObject *type = region->state->frame_type;
    FrameObject *self = PyObject_New(FrameObject, type);
    if (!self)
        return NULL;
    self->frame = *frame;
    self->owned = owned;
    self->region = (RegionObject *)Py_NewRef((PyObject *)region);
    if (owned) {
        Py_INCREF(owned);
        self->frame.data = (const uint8_t *)PyBytes_AsString(owned);
    }
    return (PyObject *)self;
}

static void frame_dealloc(FrameObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF(self->owned);
    Py_DECREF(self->region);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int frame_getbuffer(FrameObject *self, Py_buffer *view, int flags) {
    return PyBuffer_FillInfo(view, (PyObject *)self, (void *)self->frame.data, self->frame.size, 1, flags);
}

static int intact(const FrameObject *self) {
    return self->owned || arcly_intact(&self->region->region, self->frame.pos);
}

static PyObject *frame_is_intact(FrameObject *self, PyObject *Py_UNUSED(none)) {
    return PyBool_FromLong(intact(self));
}

static PyObject *frame_tobytes(FrameObject *self, PyObject *Py_UNUSED(none)) {
    const struct arcly_frame *f = &self->frame;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, f->size);
    if (!bytes)
        return NULL;
    arcly_copy_out(PyBytes_AsString(bytes), f->data, f->size);
    const char *error = !intact(self) ? "FrameOverwritten" : NULL;
    if (!error && (f->flags & ARCLY_HAS_CRC) && arcly_crc32c(0, PyBytes_AsString(bytes), f->size) != f->crc)
        error = "FrameCorrupt";
    if (error) {
        Py_DECREF(bytes);
        return glue_raise(self->region->state, error, "(K)", f->seq);
    }
    return bytes;
}

static PyObject *frame_data(FrameObject *self, void *Py_UNUSED(closure)) {
    return PyMemoryView_FromObject((PyObject *)self);
}

static PyObject *frame_flag(FrameObject *self, void *flag) {
    return PyBool_FromLong(self->frame.flags & (long)(intptr_t)flag);
}

static PyObject *frame_duration(FrameObject *self, void *Py_UNUSED(closure)) {
    if (self->frame.duration == 0)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(self->frame.duration);
}

static PyObject *frame_crc(FrameObject *self, void *Py_UNUSED(closure)) {
    if (!(self->frame.flags & ARCLY_HAS_CRC))
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(self->frame.crc);
}

static Py_ssize_t frame_length(FrameObject *self) {
    return self->frame.size;
}

static PyObject *frame_repr(FrameObject *self) {
    const struct arcly_frame *f = &self->frame;
    return PyUnicode_FromFormat("<Frame seq=%llu track=%u pts=%lld size=%u%s%s%s>", (unsigned long long)f->seq, f->track,
                                (long long)f->pts, f->size, f->flags & ARCLY_KEY ? " key" : "",
                                f->flags & ARCLY_CONFIG ? " config" : "",
                                f->flags & ARCLY_DISCONTINUITY ? " discontinuity" : "");
}

#define AT(field) (offsetof(FrameObject, frame) + offsetof(struct arcly_frame, field))

static PyMemberDef frame_members[] = {
    {"seq", T_ULONGLONG, AT(seq), READONLY, "sequence, dense within the stream"},
    {"track", T_USHORT, AT(track), READONLY, "track id"},
    {"pts", T_LONGLONG, AT(pts), READONLY, "presentation time in the track's time base"},
    {"dts", T_LONGLONG, AT(dts), READONLY, "decoding time in the track's time base"},
    {"size", T_UINT, AT(size), READONLY, "payload bytes"},
    {"flags", T_USHORT, AT(flags), READONLY, "slot flags"},
    {"epoch", T_UINT, AT(epoch), READONLY, "which publisher incarnation wrote it"},
    {"config_generation", T_UINT, AT(config_gen), READONLY, "configuration in force on its track, 0: none"},
    {"join_seq", T_ULONGLONG, AT(join_seq), READONLY, "key_seq of the join point it belongs to"},
    {"capture_ns", T_ULONGLONG, AT(capture_ns), READONLY, "capture time, wall clock, ns"},
    {"publish_ns", T_ULONGLONG, AT(publish_ns), READONLY, "publish time, monotonic clock, ns"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef frame_getset[] = {
    {"data", (getter)frame_data, NULL, "the payload: a read-only memoryview, zero copy", NULL},
    {"duration", (getter)frame_duration, NULL, "in the track's time base, or None", NULL},
    {"crc32c", (getter)frame_crc, NULL, "CRC32C its writer stored, or None", NULL},
    {"keyframe", (getter)frame_flag, NULL, "decoding can start here", (void *)ARCLY_KEY},
    {"is_config", (getter)frame_flag, NULL, "a decoder configuration, not media", (void *)ARCLY_CONFIG},
    {"discontinuity", (getter)frame_flag, NULL, "does not follow from what came before", (void *)ARCLY_DISCONTINUITY},
    {"droppable", (getter)frame_flag, NULL, "no other frame needs it", (void *)ARCLY_DROPPABLE},
    {"corrupt", (getter)frame_flag, NULL, "its source said it is damaged", (void *)ARCLY_CORRUPT},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef frame_methods[] = {
    {"is_intact", (PyCFunction)frame_is_intact, METH_NOARGS,
     "is_intact()\n--\n\nTrue: every byte read from `data` so far is what was published."},
    {"tobytes", (PyCFunction)frame_tobytes, METH_NOARGS,
     "tobytes()\n--\n\nCopy of the payload, checked afterwards; raises FrameOverwritten or FrameCorrupt."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot frame_slots[] = {
    {Py_tp_doc, "One encoded frame, or a decoder configuration, as a view into the ring."},
    {Py_tp_dealloc, frame_dealloc},
    {Py_tp_repr, frame_repr},
    {Py_tp_members, frame_members},
    {Py_tp_getset, frame_getset},
    {Py_tp_methods, frame_methods},
    {Py_bf_getbuffer, frame_getbuffer},
    {Py_sq_length, frame_length},
    {0, NULL},
};

PyType_Spec glue_frame_spec = {"arclyd.Frame", sizeof(FrameObject), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, frame_slots};

/* --------------------------------------------------------------------- Gap */

typedef struct {
    PyObject_HEAD
    unsigned long long missed, resumed_at;
} GapObject;

PyObject *glue_new_gap(glue_state *state, uint64_t missed, uint64_t resumed_at) {
    GapObject *self = PyObject_New(GapObject, state->gap_type);
    if (self) {
        self->missed = missed;
        self->resumed_at = resumed_at;
    }
    return (PyObject *)self;
}

static PyObject *gap_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"missed", "resumed_at", NULL};
    unsigned long long missed, resumed_at;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KK:Gap", names, &missed, &resumed_at))
        return NULL;
    GapObject *self = PyObject_New(GapObject, type);
    if (self) {
        self->missed = missed;
        self->resumed_at = resumed_at;
    }
    return (PyObject *)self;
}

static void gap_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *gap_repr(GapObject *self) {
    return PyUnicode_FromFormat("Gap(missed=%llu, resumed_at=%llu)", self->missed, self->resumed_at);
}

static PyObject *gap_compare(PyObject *left, PyObject *right, int op) {
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(left) != Py_TYPE(right))
        Py_RETURN_NOTIMPLEMENTED;
    const GapObject *a = (GapObject *)left, *b = (GapObject *)right;
    const int same = a->missed == b->missed && a->resumed_at == b->resumed_at;
    return PyBool_FromLong(op == Py_EQ ? same : !same);
}

static Py_hash_t gap_hash(GapObject *self) {
    const Py_hash_t hash = (Py_hash_t)(self->missed * 1000003 ^ self->resumed_at);
    return hash == -1 ? -2 : hash;
}

static PyMemberDef gap_members[] = {
    {"missed", T_ULONGLONG, offsetof(GapObject, missed), READONLY, "frames lost"},
    {"resumed_at", T_ULONGLONG, offsetof(GapObject, resumed_at), READONLY, "sequence of the frame that follows"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot gap_slots[] = {
    {Py_tp_doc, "Gap(missed, resumed_at)\n--\n\nFrames this reader lost, and the sequence it goes on at."},
    {Py_tp_new, gap_new},
    {Py_tp_dealloc, gap_dealloc},
    {Py_tp_repr, gap_repr},
    {Py_tp_richcompare, gap_compare},
    {Py_tp_hash, gap_hash},
    {Py_tp_members, gap_members},
    {0, NULL},
};

PyType_Spec glue_gap_spec = {"arclyd.Gap", sizeof(GapObject), 0, Py_TPFLAGS_DEFAULT, gap_slots};
