/* Receiver: what runs of a Subscriber for each frame. All else it leaves to the Subscriber, which is made of it. */
#include "_ring.h"

typedef struct {
    PyObject_HEAD
    glue_state *state;
    PyObject *reader; /* a Reader, or what stands in for one */
    char shows;       /* an observer is to see every frame */
} ReceiverObject;

/* The module's state by the type that the module made, of which `type` is made. */
static glue_state *state_of(PyTypeObject *type) {
    glue_state *state = NULL;
    for (; type && !state; type = PyType_GetSlot(type, Py_tp_base)) {
        state = PyType_GetModuleState(type);
        PyErr_Clear();
    }
    return state;
}

static PyObject *receiver_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs)) {
    ReceiverObject *self = (ReceiverObject *)PyType_GenericAlloc(type, 0);
    if (self)
        self->state = state_of(type);
    return (PyObject *)self;
}

static int receiver_traverse(ReceiverObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->reader);
    return 0;
}

static int receiver_clear(ReceiverObject *self) {
    Py_CLEAR(self->reader);
    return 0;
}

static void receiver_dealloc(ReceiverObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack(self);
    receiver_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* Timeout in seconds (None: -1, for ever) as ns, and the deadline as the Subscriber wants it. -1: an error is set. */
static int parse_timeout(PyObject *timeout, long long *timeout_ns, PyObject **deadline) {
    if (timeout == Py_None) {
        *timeout_ns = -1;
        *deadline = Py_NewRef(Py_None);
        return 0;
    }
    const double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    *timeout_ns = seconds > 9e9 ? INT64_MAX / 2 : seconds > 0 ? (long long)(seconds * 1e9) : 0;
    *deadline = PyFloat_FromDouble((double)arcly_now() / 1e9 + seconds);
    return *deadline ? 0 : -1;
}

static PyObject *ask_stand_in(ReceiverObject *self, PyObject *reader, long long timeout_ns) {
    PyObject *ns = PyLong_FromLongLong(timeout_ns);
    PyObject *item = ns ? PyObject_CallMethodObjArgs(reader, self->state->recv, ns, NULL) : NULL;
    Py_XDECREF(ns);
    return item;
}

/* The next frame, or what the Subscriber makes of what came in its place. */
static PyObject *receive(ReceiverObject *self, PyObject *timeout) {
    if (!self->reader) {
        PyErr_SetString(PyExc_AttributeError, "_reader");
        return NULL;
    }
    PyObject *reader = Py_NewRef(self->reader), *deadline, *result = NULL; /* another thread may put one in its place */
    long long timeout_ns;
    if (parse_timeout(timeout, &timeout_ns, &deadline)) {
        Py_DECREF(reader);
        return NULL;
    }
    PyObject *item = Py_TYPE(reader) == self->state->reader_type ? glue_receive((ReaderObject *)reader, timeout_ns)
                                                                 : ask_stand_in(self, reader, timeout_ns);
    if (item && Py_TYPE(item) == self->state->frame_type && !self->shows)
        result = Py_NewRef(item); /* nearly always */
    else if (item)
        result = PyObject_CallMethodObjArgs((PyObject *)self, self->state->frame_after, item, deadline, timeout, NULL);
    Py_XDECREF(item);
    Py_DECREF(deadline);
    Py_DECREF(reader);
    return result;
}

static PyObject *receiver_recv(ReceiverObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    const Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    if (count + named > 1) {
        PyErr_Format(PyExc_TypeError, "recv takes a timeout at most, not %zd arguments", count + named);
        return NULL;
    }
    if (named && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "timeout")) {
        PyErr_Format(PyExc_TypeError, "recv has no argument %R", PyTuple_GetItem(names, 0));
        return NULL;
    }
    return receive(self, count + named ? args[0] : Py_None);
}

static PyObject *receiver_next(ReceiverObject *self) {
    PyObject *frame = receive(self, Py_None), *type, *error, *trace;
    if (frame)
        return frame;
    PyErr_Fetch(&type, &error, &trace); /* looking for an attribute would clear it */
    PyObject *ended = PyObject_GetAttr(self->state->errors, self->state->end_of_stream);
    if (ended && !PyErr_GivenExceptionMatches(type, ended)) {
        PyErr_Restore(type, error, trace);
    } else {
        Py_DECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(trace);
    }
    Py_XDECREF(ended);
    return NULL;
}

static PyMemberDef receiver_members[] = {
    {"_reader", T_OBJECT_EX, offsetof(ReceiverObject, reader), 0, "reads the ring, or stands in for what will"},
    {"_shows", T_BOOL, offsetof(ReceiverObject, shows), 0, "frames, too, go through _frame_after"},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef receiver_methods[] = {
    {"recv", (PyCFunction)(void (*)(void))receiver_recv, METH_FASTCALL | METH_KEYWORDS,
     "recv($self, /, timeout=None)\n--\n\n"
     "The next frame; frames lost on the way are counted in `dropped`.\n\n"
     "Raises:\n"
     "    TimeoutError: none within ``timeout`` seconds (None: waits for as long as it takes).\n"
     "    EndOfStream: none will come."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot receiver_slots[] = {
    {Py_tp_doc, "Delivers frames; every frame from here on when iterated over, until the stream ends."},
    {Py_tp_new, receiver_new},
    {Py_tp_dealloc, receiver_dealloc},
    {Py_tp_traverse, receiver_traverse},
    {Py_tp_clear, receiver_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, receiver_next},
    {Py_tp_members, receiver_members},
    {Py_tp_methods, receiver_methods},
    {0, NULL},
};

PyType_Spec glue_receiver_spec = {"arclyd.ring._ring.Receiver", sizeof(ReceiverObject), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, receiver_slots};
