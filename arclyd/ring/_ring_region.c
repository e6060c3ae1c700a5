/* Region, and the named tuples its tables are read into. */
#include "_ring.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FIELD(name) {name, NULL}

static PyStructSequence_Field track_fields[] = {
    FIELD("id"), FIELD("kind"), FIELD("codec"), FIELD("time_base"), FIELD("width"), FIELD("height"),
    FIELD("sample_rate"), FIELD("channels"), FIELD("config_generation"), FIELD("frames"), FIELD("config_frames"),
    FIELD("keyframes"), FIELD("bytes"), FIELD("last_publish_ns"), FIELD("last_pts"), FIELD("last_dts"), {NULL, NULL}};
static PyStructSequence_Field gop_fields[] = {
    FIELD("number"), FIELD("key_seq"), FIELD("join_seq"), FIELD("track"), FIELD("epoch"), FIELD("pts"),
    FIELD("publish_ns"), FIELD("frames"), FIELD("bytes"), FIELD("duration_ns"), FIELD("intact"), FIELD("joinable"),
    {NULL, NULL}};
static PyStructSequence_Field config_fields[] = {FIELD("generation"), FIELD("track"), FIELD("seq"), FIELD("data"),
                                                 {NULL, NULL}};
static PyStructSequence_Field counter_fields[] = {
    FIELD("now_ns"), FIELD("head"), FIELD("base_seq"), FIELD("reserved_pos"), FIELD("total_frames"),
    FIELD("total_bytes"), FIELD("padding_bytes"), FIELD("largest_frame"), FIELD("keyframes"), FIELD("gop_count"),
    FIELD("longest_gop_frames"), FIELD("longest_gop_bytes"), FIELD("keyframe_interval_ns"), FIELD("last_publish_ns"),
    FIELD("held_frames"), FIELD("held_bytes"), FIELD("retention_ns"), FIELD("epoch"), FIELD("state"), FIELD("closed"),
    FIELD("writer_pid"), FIELD("subscribers"), FIELD("keyframe_requests"), {NULL, NULL}};

PyStructSequence_Desc glue_track_info = {"arclyd.ring._ring.TrackInfo", "One entry of the track table.", track_fields, 16};
PyStructSequence_Desc glue_gop_info = {"arclyd.ring._ring.GopInfo", "One join point.", gop_fields, 12};
PyStructSequence_Desc glue_config_info = {"arclyd.ring._ring.ConfigInfo", "One configuration.", config_fields, 4};
PyStructSequence_Desc glue_counters = {"arclyd.ring._ring.Counters", "Counters of a stream.", counter_fields, 23};

/* A named tuple from the tuple that `format` builds; each field in its place. */
static PyObject *record(PyTypeObject *type, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    PyObject *values = Py_VaBuildValue(format, arguments);
    va_end(arguments);
    PyObject *result = values ? PyStructSequence_New(type) : NULL;
    for (Py_ssize_t i = 0; result && i < PyTuple_Size(values); i++)
        PyStructSequence_SetItem(result, i, Py_NewRef(PyTuple_GetItem(values, i)));
    Py_XDECREF(values);
    return result;
}

static int append(PyObject *list, PyObject *item) {
    const int failed = !item || PyList_Append(list, item);
    Py_XDECREF(item);
    return failed;
}

/* ------------------------------------------------------------ construction */

static PyObject *refused(glue_state *state, const RegionObject *self, int error, const struct arcly_refusal *refusal) {
    if (error != ARCLY_E_VERSION)
        return glue_raise(state, "RegionCorrupt", "(ss)", refusal->field, refusal->problem);
    PyObject *found = PyUnicode_FromFormat("%d.%d (%s: %s)", self->region.major, self->region.minor, refusal->field,
                                           refusal->problem);
    PyObject *supported = PyUnicode_FromFormat("%d.%d", ARCLY_MAJOR, ARCLY_MINOR);
    if (found && supported)
        glue_raise(state, "LayoutMismatch", "(OO)", found, supported);
    Py_XDECREF(found);
    Py_XDECREF(supported);
    return NULL;
}

static PyObject *region_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fd", "writable", NULL};
    struct arcly_refusal refusal = {"", ""};
    struct stat status;
    int fd, writable = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|$p:Region", names, &fd, &writable))
        return NULL;
    glue_state *state = PyType_GetModuleState(type);
    if (fstat(fd, &status))
        return PyErr_SetFromErrno(PyExc_OSError);
    if (status.st_size < ARCLY_HEADER_SIZE)
        return glue_raise(state, "RegionCorrupt", "(ss)", "size", status.st_size ? "shorter than a header" : "the object is empty");
    RegionObject *self = PyObject_New(RegionObject, type);
    if (!self)
        return NULL;
    memset(&self->region, 0, sizeof self->region);
    self->state = state;
    self->module = Py_NewRef(PyType_GetModule(type));
    self->mapped = (size_t)status.st_size;
    self->writable = writable;
    self->lent = NULL;
    self->base = mmap(NULL, self->mapped, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (self->base == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    const int error = arcly_attach(&self->region, self->base, self->mapped, &refusal);
    if (error) {
        refused(state, self, error, &refusal);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void region_dealloc(RegionObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->base != MAP_FAILED)
        munmap(self->base, self->mapped);
    Py_DECREF(self->module);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* A span's memory, and nothing but that. */
static int region_getbuffer(RegionObject *self, Py_buffer *view, int flags) {
    if (!self->lent) {
        PyErr_SetString(PyExc_BufferError, "a region shows its bytes by frames and spans only");
        return -1;
    }
    return PyBuffer_FillInfo(view, (PyObject *)self, self->lent, self->lent_size, 0, flags);
}

/* ----------------------------------------------------------------- reading */

static PyObject *region_frame(RegionObject *self, PyObject *which) {
    struct arcly_frame frame;
    const unsigned long long seq = PyLong_AsUnsignedLongLong(which);
    if (seq == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    const int found = arcly_read(&self->region, seq, &frame);
    if (found == ARCLY_OK)
        return glue_new_frame(self, &frame, NULL);
    if (found == ARCLY_E_CORRUPT)
        return glue_raise(self->state, "RegionCorrupt", "(ss)", "slot", "its fields contradict the header");
    Py_RETURN_NONE;
}

#define U(value) ((unsigned long long)(value))

static PyObject *region_counters(RegionObject *self, PyObject *Py_UNUSED(none)) {
    const struct arcly_header *h = self->region.header;
    const uint64_t head = arcly_acquire_u64(&h->hot.head), oldest = arcly_oldest(&self->region);
    const uint64_t total = arcly_load(h->counters.total_bytes), last = arcly_load(h->hot.last_publish_ns);
    struct arcly_frame first;
    uint64_t held_bytes = 0, retention_ns = 0;
    if (oldest < head && arcly_read(&self->region, oldest, &first) == ARCLY_OK) {
        held_bytes = total > first.bytes_before ? total - first.bytes_before : 0;
        retention_ns = last > first.publish_ns ? last - first.publish_ns : 0;
    }
    return record(self->state->counters, "(KKKKKKKKKKKKKKKKKIIIIII)", U(arcly_now()), U(head),
                  U(self->region.base_seq), U(arcly_load(h->hot.reserved_pos)), U(head - self->region.base_seq), U(total),
                  U(arcly_load(h->counters.padding_bytes)), U(arcly_load(h->counters.largest_frame)),
                  U(arcly_load(h->counters.keyframes)), U(arcly_load(h->hot.gop_head)),
                  U(arcly_load(h->counters.longest_gop_frames)), U(arcly_load(h->counters.longest_gop_bytes)),
                  U(arcly_load(h->counters.key_interval_ns)), U(last), U(head > oldest ? head - oldest : 0),
                  U(held_bytes), U(retention_ns), arcly_load(h->hot.epoch), arcly_load(h->hot.state),
                  arcly_load(h->daemon.closed), arcly_load(h->hot.writer_pid), arcly_load(h->daemon.subscribers),
                  arcly_load(h->daemon.keyframe_requests));
}

static PyObject *region_tracks(RegionObject *self, PyObject *Py_UNUSED(none)) {
    PyObject *list = PyList_New(0);
    for (uint32_t id = 0; list && id < self->region.track_count; id++) {
        struct arcly_track_copy t;
        if (arcly_track_read(&self->region, id, &t) != ARCLY_OK)
            continue;
        if (append(list, record(self->state->track_info, "(III(II)IIIIIKKKKKLL)", id, t.kind, t.codec, t.num, t.den,
                                t.width, t.height, t.sample_rate, t.channels, t.config_gen, U(t.frames), U(t.configs),
                                U(t.keyframes), U(t.bytes), U(t.last_publish_ns), (long long)t.last_pts,
                                (long long)t.last_dts)))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *region_gops(RegionObject *self, PyObject *args) {
    const uint64_t end = arcly_acquire_u64(&self->region.header->hot.gop_head);
    uint64_t most = self->region.gop_count;
    unsigned int newest = 0;
    if (!PyArg_ParseTuple(args, "|I:gops", &newest))
        return NULL;
    if (newest && newest < most)
        most = newest;
    PyObject *list = PyList_New(0);
    for (uint64_t n = end > most ? end - most : 0; list && n < end; n++) {
        struct arcly_gop_copy g;
        if (arcly_gop_read(&self->region, n, &g) != ARCLY_OK)
            continue;
        if (append(list, record(self->state->gop_info, "(KKKIILKKKKNN)", U(g.number), U(g.key_seq), U(g.join_seq),
                                g.track, g.epoch, (long long)g.pts, U(g.publish_ns), U(g.frames), U(g.bytes),
                                U(g.duration_ns), PyBool_FromLong(g.intact), PyBool_FromLong(g.joinable))))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *region_configs(RegionObject *self, PyObject *Py_UNUSED(none)) {
    const uint64_t end = arcly_acquire_u64(&self->region.header->hot.config_head);
    PyObject *list = PyList_New(0);
    for (uint64_t g = end > self->region.config_count ? end - self->region.config_count : 1; list && g < end; g++) {
        struct arcly_config_copy c;
        if (arcly_config_read(&self->region, g, &c) != ARCLY_OK)
            continue;
        if (append(list, record(self->state->config_info, "(KIKy#)", U(c.generation), c.track, U(c.seq), c.data,
                                (Py_ssize_t)c.size)))
            Py_CLEAR(list);
    }
    return list;
}

/* ------------------------------------------------------ the daemon's words */

static int daemon_word(RegionObject *self, PyObject *argument, uint32_t *value) {
    const unsigned long word = argument ? PyLong_AsUnsignedLong(argument) : 0;
    if (word == (unsigned long)-1 && PyErr_Occurred())
        return -1;
    if (!self->writable) {
        PyErr_SetString(PyExc_TypeError, "this region is mapped read-only");
        return -1;
    }
    *value = (uint32_t)word;
    return 0;
}

static PyObject *region_set_subscribers(RegionObject *self, PyObject *count) {
    uint32_t value;
    if (daemon_word(self, count, &value))
        return NULL;
    arcly_store(self->region.header->daemon.subscribers, value);
    Py_RETURN_NONE;
}

static PyObject *region_request_keyframe(RegionObject *self, PyObject *Py_UNUSED(none)) {
    uint32_t value;
    if (daemon_word(self, NULL, &value))
        return NULL;
    arcly_bump_u32(&self->region.header->daemon.keyframe_requests);
    Py_RETURN_NONE;
}

static PyObject *region_grant(RegionObject *self, PyObject *epoch) {
    uint32_t value;
    if (daemon_word(self, epoch, &value))
        return NULL;
    arcly_publish_u32(&self->region.header->daemon.granted_epoch, value);
    Py_RETURN_NONE;
}

static PyObject *region_close_stream(RegionObject *self, PyObject *closed) {
    uint32_t value;
    if (daemon_word(self, closed, &value))
        return NULL;
    arcly_daemon_close(&self->region, value);
    Py_RETURN_NONE;
}

/* -------------------------------------------------------------- attributes */

static PyObject *region_key(RegionObject *self, void *Py_UNUSED(closure)) {
    return PyUnicode_DecodeUTF8(self->region.key, (Py_ssize_t)strlen(self->region.key), "replace");
}

static PyObject *region_id(RegionObject *self, void *Py_UNUSED(closure)) {
    return PyBytes_FromStringAndSize((const char *)self->region.region_id, sizeof self->region.region_id);
}

static PyObject *region_layout(RegionObject *self, void *Py_UNUSED(closure)) {
    return Py_BuildValue("(ii)", self->region.major, self->region.minor);
}

static PyObject *region_gop_limits(RegionObject *self, void *Py_UNUSED(closure)) {
    return Py_BuildValue("(IKI)", self->region.gop_limit_frames, U(self->region.gop_limit_bytes),
                         self->region.gop_limit_ms);
}

static PyObject *region_head(RegionObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromUnsignedLongLong(arcly_acquire_u64(&self->region.header->hot.head));
}

static PyObject *region_word(RegionObject *self, void *offset) {
    return PyLong_FromUnsignedLong(
        arcly_acquire_u32((arcly_u32 *)((uint8_t *)self->region.header + (size_t)offset)));
}

#define WORD(part, field) ((void *)(offsetof(struct arcly_header, part) + offsetof(struct arcly_##part, field)))

static PyGetSetDef region_getset[] = {
    {"key", (getter)region_key, NULL, "stream key", NULL},
    {"region_id", (getter)region_id, NULL, "16 bytes that tell this region from any other", NULL},
    {"layout", (getter)region_layout, NULL, "(major, minor)", NULL},
    {"gop_limits", (getter)region_gop_limits, NULL, "(frames, bytes, ms), 0: no limit", NULL},
    {"head", (getter)region_head, NULL, "sequence of the next frame", NULL},
    {"state", (getter)region_word, NULL, "a STATE_ word", WORD(hot, state)},
    {"epoch", (getter)region_word, NULL, "publisher incarnation", WORD(hot, epoch)},
    {"closed", (getter)region_word, NULL, "a CLOSED_ word, 0: open", WORD(daemon, closed)},
    {"subscribers", (getter)region_word, NULL, "attached subscribers", WORD(daemon, subscribers)},
    {"keyframe_requests", (getter)region_word, NULL, "requests so far", WORD(daemon, keyframe_requests)},
    {NULL, NULL, NULL, NULL, NULL},
};

#define AT(field) (offsetof(RegionObject, region) + offsetof(struct arcly_region, field))

static PyMemberDef region_members[] = {
    {"size", T_ULONGLONG, AT(size), READONLY, "bytes of the region"},
    {"ring_bytes", T_ULONGLONG, AT(payload_size), READONLY, "bytes of the payload ring"},
    {"slots", T_UINT, AT(slot_count), READONLY, "slots of the index"},
    {"max_frame", T_ULONGLONG, AT(max_frame), READONLY, "largest payload in bytes"},
    {"max_config", T_UINT, AT(max_config), READONLY, "largest decoder configuration in bytes"},
    {"max_tracks", T_UINT, AT(track_count), READONLY, "places in the track table"},
    {"base_seq", T_ULONGLONG, AT(base_seq), READONLY, "sequence of the region's first frame"},
    {"created_ns", T_ULONGLONG, AT(created_ns), READONLY, "creation time, wall clock, ns"},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef region_methods[] = {
    {"counters", (PyCFunction)region_counters, METH_NOARGS, "counters()\n--\n\nCumulative counters and hot words."},
    {"tracks", (PyCFunction)region_tracks, METH_NOARGS, "tracks()\n--\n\nThe track table."},
    {"gops", (PyCFunction)region_gops, METH_VARARGS,
     "gops(newest=0, /)\n--\n\nJoin points still indexed, oldest first; at most so many of the newest, 0: all."},
    {"configs", (PyCFunction)region_configs, METH_NOARGS, "configs()\n--\n\nConfigurations still kept, oldest first."},
    {"frame", (PyCFunction)region_frame, METH_O, "frame(seq)\n--\n\nThe frame of that sequence, or None."},
    {"set_subscribers", (PyCFunction)region_set_subscribers, METH_O, "set_subscribers(count)\n--\n\nDaemon only."},
    {"request_keyframe", (PyCFunction)region_request_keyframe, METH_NOARGS, "request_keyframe()\n--\n\nDaemon only."},
    {"grant", (PyCFunction)region_grant, METH_O, "grant(epoch)\n--\n\nDaemon only: the epoch that may write."},
    {"close_stream", (PyCFunction)region_close_stream, METH_O, "close_stream(closed)\n--\n\nDaemon only: end it for all."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot region_slots[] = {
    {Py_tp_doc, "Region(fd, *, writable=False)\n--\n\nA mapped region; construction checks its header."},
    {Py_tp_new, region_new},
    {Py_tp_dealloc, region_dealloc},
    {Py_bf_getbuffer, region_getbuffer},
    {Py_tp_getset, region_getset},
    {Py_tp_members, region_members},
    {Py_tp_methods, region_methods},
    {0, NULL},
};

PyType_Spec glue_region_spec = {"arclyd.ring._ring.Region", sizeof(RegionObject), 0, Py_TPFLAGS_DEFAULT, region_slots};
