/* The module: functions, constants, types. See _ring.pyi for what each does. */
#include "_ring.h"

#include <sys/mman.h>
#include <sys/stat.h>

PyObject *glue_raise(glue_state *state, const char *name, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    PyObject *args = Py_VaBuildValue(format, arguments);
    va_end(arguments);
    /* Interned, for the interpreter's cache of attributes keeps each name it was asked for: a fresh one every time
     * would be kept every time. */
    PyObject *interned = args ? PyUnicode_InternFromString(name) : NULL;
    PyObject *class = interned ? PyObject_GetAttr(state->errors, interned) : NULL;
    PyObject *error = class ? PyObject_CallObject(class, args) : NULL;
    if (error)
        PyErr_SetObject(class, error);
    Py_XDECREF(error);
    Py_XDECREF(class);
    Py_XDECREF(interned);
    Py_XDECREF(args);
    return NULL;
}

static PyObject *ring_region_size(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs) {
    static char *names[] = {"ring_bytes", "slots", NULL};
    unsigned long long ring_bytes;
    unsigned int slots;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KI:region_size", names, &ring_bytes, &slots))
        return NULL;
    const uint64_t size = arcly_region_size(ring_bytes, slots);
    if (!size)
        return PyErr_Format(PyExc_ValueError,
                            "ring_bytes must be a multiple of %d from %llu to %llu, slots from %d to %u (asked for "
                            "%llu bytes, %u slots)",
                            ARCLY_PAGE, (unsigned long long)ARCLY_MIN_RING, (unsigned long long)ARCLY_MAX_RING,
                            ARCLY_MIN_SLOTS, ARCLY_MAX_SLOTS, ring_bytes, slots);
    return PyLong_FromUnsignedLongLong(size);
}

static PyObject *ring_format_region(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fd", "key", "ring_bytes", "slots", "base_seq", "base_epoch", "gop_frames", "gop_bytes",
                            "gop_ms", "crc", "region_id", NULL};
    struct arcly_spec spec = {.created_ns = glue_clock(CLOCK_REALTIME)};
    unsigned long long ring_bytes, base_seq = 0, gop_bytes = 0;
    const char *id = "";
    Py_ssize_t id_size = 0;
    struct stat status;
    int fd, crc = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "isKI|KIIKIpy#:format_region", names, &fd, &spec.key, &ring_bytes,
                                     &spec.slots, &base_seq, &spec.base_epoch, &spec.gop_frames, &gop_bytes,
                                     &spec.gop_ms, &crc, &id, &id_size))
        return NULL;
    spec.ring_bytes = ring_bytes;
    spec.base_seq = base_seq;
    spec.gop_bytes = gop_bytes;
    spec.crc = crc;
    if (id_size > (Py_ssize_t)sizeof spec.region_id)
        return PyErr_Format(PyExc_ValueError, "a region id has at most %zu bytes", sizeof spec.region_id);
    memcpy(spec.region_id, id, (size_t)id_size);
    const uint64_t size = arcly_region_size(spec.ring_bytes, spec.slots);
    if (fstat(fd, &status))
        return PyErr_SetFromErrno(PyExc_OSError);
    if (!size || (uint64_t)status.st_size < size)
        return PyErr_Format(PyExc_ValueError, "sizes out of range, or the object is shorter than the region");
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return PyErr_SetFromErrno(PyExc_OSError);
    const int error = arcly_format(base, &spec);
    munmap(base, size);
    if (error)
        return PyErr_Format(PyExc_ValueError, "a key of more than %d bytes, or a base sequence out of range",
                            ARCLY_KEY_SIZE - 1);
    Py_RETURN_NONE;
}

static PyObject *ring_crc32c(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer data;
    unsigned int crc = 0;
    if (!PyArg_ParseTuple(args, "y*|I:crc32c", &data, &crc))
        return NULL;
    crc = arcly_crc32c(crc, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(crc);
}

static PyMethodDef functions[] = {
    {"region_size", (PyCFunction)(void (*)(void))ring_region_size, METH_VARARGS | METH_KEYWORDS,
     "region_size(*, ring_bytes, slots)\n--\n\nSize in bytes of such a region."},
    {"format_region", (PyCFunction)(void (*)(void))ring_format_region, METH_VARARGS | METH_KEYWORDS,
     "format_region(fd, *, key, ring_bytes, slots, base_seq=0, base_epoch=0, gop_frames=0, gop_bytes=0, gop_ms=0, "
     "crc=False, region_id=b'')\n--\n\nWrite an empty region into the object behind fd."},
    {"crc32c", ring_crc32c, METH_VARARGS, "crc32c(data, value=0, /)\n--\n\nCRC-32C (RFC 3720 appendix B.4)."},
    {NULL, NULL, 0, NULL},
};

static const struct {
    const char *name;
    int value;
} constants[] = {
    {"LAYOUT_MAJOR", ARCLY_MAJOR},
    {"LAYOUT_MINOR", ARCLY_MINOR},
    {"KEY", ARCLY_KEY},
    {"CONFIG", ARCLY_CONFIG},
    {"DISCONTINUITY", ARCLY_DISCONTINUITY},
    {"DROPPABLE", ARCLY_DROPPABLE},
    {"CORRUPT", ARCLY_CORRUPT},
    {"HAS_CRC", ARCLY_HAS_CRC},
    {"STATE_NEW", ARCLY_NEW},
    {"STATE_LIVE", ARCLY_LIVE},
    {"STATE_ENDED", ARCLY_ENDED},
    {"CLOSED_ENDED", ARCLY_CLOSED_ENDED},
    {"CLOSED_PUBLISHER_GONE", ARCLY_CLOSED_PUBLISHER_GONE},
    {"CLOSED_REAPED", ARCLY_CLOSED_REAPED},
    {"CLOSED_KICKED", ARCLY_CLOSED_KICKED},
    {"CLOSED_SUPERSEDED", ARCLY_CLOSED_SUPERSEDED},
    {"CLOSED_REFUSED", ARCLY_CLOSED_REFUSED},
};

/* What this build leaves out of the ring's rules: mutants made to see a test fail. Empty in every real build. */
static PyObject *build_flags(void) {
    return Py_BuildValue("("
#ifdef ARCLY_MUTANT_NO_ANNOUNCE_FENCE
                         "s"
#endif
#ifdef ARCLY_MUTANT_NO_CHECK_FENCE
                         "s"
#endif
#ifdef ARCLY_MUTANT_ANNOUNCE_LATE
                         "s"
#endif
#ifdef ARCLY_MUTANT_HEAD_FIRST
                         "s"
#endif
                         ")"
#ifdef ARCLY_MUTANT_NO_ANNOUNCE_FENCE
                         ,
                         "no_announce_fence"
#endif
#ifdef ARCLY_MUTANT_NO_CHECK_FENCE
                         ,
                         "no_check_fence"
#endif
#ifdef ARCLY_MUTANT_ANNOUNCE_LATE
                         ,
                         "announce_late"
#endif
#ifdef ARCLY_MUTANT_HEAD_FIRST
                         ,
                         "head_first"
#endif
    );
}

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (!type || PyModule_AddType(module, (PyTypeObject *)type)) {
        Py_XDECREF(type);
        return NULL;
    }
    return (PyTypeObject *)type;
}

static PyTypeObject *add_record(PyObject *module, PyStructSequence_Desc *desc) {
    PyTypeObject *type = PyStructSequence_NewType(desc);
    if (!type || PyModule_AddType(module, type)) {
        Py_XDECREF((PyObject *)type);
        return NULL;
    }
    return type;
}

static int exec(PyObject *module) {
    static const char *const keywords[KW_COUNT] = {"pts", "dts", "duration", "keyframe", "discontinuity", "droppable",
                                                   "corrupt", "capture_ns"};
    glue_state *state = PyModule_GetState(module);
    if (!(state->errors = PyImport_ImportModule("arclyd.errors")))
        return -1;
    if (!(state->release = PyUnicode_InternFromString("release")) ||
        !(state->recv = PyUnicode_InternFromString("recv")) ||
        !(state->frame_after = PyUnicode_InternFromString("_frame_after")) ||
        !(state->end_of_stream = PyUnicode_InternFromString("EndOfStream")))
        return -1;
    for (int i = 0; i < KW_COUNT; i++)
        if (!(state->keywords[i] = PyUnicode_InternFromString(keywords[i])))
            return -1;
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value))
            return -1;
    PyObject *flags = build_flags();
    const int failed = !flags || PyModule_AddObjectRef(module, "BUILD_FLAGS", flags);
    Py_XDECREF(flags);
    if (failed)
        return -1;
    return (state->region_type = add_type(module, &glue_region_spec)) &&
                   (state->frame_type = add_type(module, &glue_frame_spec)) &&
                   (state->gap_type = add_type(module, &glue_gap_spec)) &&
                   (state->span_type = add_type(module, &glue_span_spec)) &&
                   (state->writer_type = add_type(module, &glue_writer_spec)) &&
                   (state->reader_type = add_type(module, &glue_reader_spec)) &&
                   (state->receiver_type = add_type(module, &glue_receiver_spec)) &&
                   (state->waiter_type = add_type(module, &glue_waiter_spec)) &&
                   (state->track_info = add_record(module, &glue_track_info)) &&
                   (state->gop_info = add_record(module, &glue_gop_info)) &&
                   (state->config_info = add_record(module, &glue_config_info)) &&
                   (state->counters = add_record(module, &glue_counters))
               ? 0
               : -1;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, exec}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "arclyd.ring._ring",
    .m_doc = "The C core of the ring as Python sees it.",
    .m_size = sizeof(glue_state),
    .m_methods = functions,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__ring(void) {
    return PyModuleDef_Init(&definition);
}
