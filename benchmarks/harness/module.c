/* The harness's hot halves for Python: Gate (an iterator that a publisher's loop runs over) and Check (a call a frame).
 *
 * Both cost some tens of nanoseconds a frame, and the same for every transport.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>
#include <sys/prctl.h>

#include "limits.h"

/* ----------------------------------------------------------------- the board */

static PyObject *module_board_size(PyObject *Py_UNUSED(module), PyObject *subscribers) {
    const unsigned long count = PyLong_AsUnsignedLong(subscribers);
    if (PyErr_Occurred())
        return NULL;
    return PyLong_FromSize_t(board_size((uint32_t)count));
}

static PyObject *module_clear_board(PyObject *Py_UNUSED(module), PyObject *memory) {
    Py_buffer view;
    if (PyObject_GetBuffer(memory, &view, PyBUF_WRITABLE))
        return NULL;
    memset(view.buf, 0, (size_t)view.len);
    atomic_store(&((struct board *)view.buf)->target, UINT64_MAX);
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

/* (start_ns, end_ns, cpu_ns, frames, [(state, received, done_ns, cpu_ns), …]) */
static PyObject *module_read_board(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer view;
    unsigned int count;
    if (!PyArg_ParseTuple(args, "y*I", &view, &count))
        return NULL;
    struct board *board = view.buf;
    PyObject *lines = PyList_New(0);
    for (unsigned int i = 0; lines && i < count; i++) {
        struct line *line = &board->lines[i];
        PyObject *entry = Py_BuildValue("(IKKK)", atomic_load(&line->state), atomic_load(&line->received),
                                        atomic_load(&line->done_ns), atomic_load(&line->cpu_ns));
        if (!entry || PyList_Append(lines, entry))
            Py_CLEAR(lines);
        Py_XDECREF(entry);
    }
    PyObject *facts = lines ? Py_BuildValue("(KKKKN)", atomic_load(&board->start_ns), atomic_load(&board->end_ns),
                                            atomic_load(&board->cpu_ns), atomic_load(&board->frames), lines)
                            : NULL;
    PyBuffer_Release(&view);
    return facts;
}

/* ---------------------------------------------------------------------- Gate */

typedef struct {
    PyObject_HEAD
    Py_buffer board, memory;
    PyObject *source;
    struct gate gate;
} GateObject;

static int gate_init(GateObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"board",  "subscribers", "source", "window", "stride", "warmup",
                            "frames", "seconds",     "rate",   "stamps", "costs",  NULL};
    PyObject *source;
    unsigned int subscribers;
    unsigned long long window, stride, warmup, frames, costs;
    double seconds, rate;
    int stamps;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "w*$IOKKKKddpK:Gate", names, &self->board, &subscribers, &source,
                                     &window, &stride, &warmup, &frames, &seconds, &rate, &stamps, &costs))
        return -1;
    if (PyObject_GetBuffer(source, &self->memory, PyBUF_WRITABLE))
        return -1;
    self->source = Py_NewRef(source);
    self->gate = (struct gate){.board = self->board.buf,
                               .subscribers = subscribers,
                               .source = self->memory.buf,
                               .size = (size_t)self->memory.len,
                               .window = window,
                               .stride = stride,
                               .warmup = warmup,
                               .most = frames,
                               .duration_ns = (uint64_t)(seconds * 1e9),
                               .interval_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0,
                               .stamps = stamps};
    if (costs) {
        self->gate.costs = calloc(costs, sizeof *self->gate.costs);
        self->gate.cost_room = self->gate.costs ? costs : 0;
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* else a paced frame is up to 50 us late */
    return 0;
}

static void gate_dealloc(GateObject *self) {
    free(self->gate.costs);
    PyBuffer_Release(&self->memory);
    PyBuffer_Release(&self->board);
    Py_XDECREF(self->source);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *gate_iternext(GateObject *self) {
    while (gate_waits(&self->gate)) {
        Py_BEGIN_ALLOW_THREADS
        gate_sleep(&self->gate);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals())
            return NULL;
    }
    if (self->gate.heard)
        return gate_next(&self->gate) ? Py_NewRef(self->source) : NULL;
    int more;
    Py_BEGIN_ALLOW_THREADS
    more = gate_next(&self->gate); /* sleeps before each hello */
    Py_END_ALLOW_THREADS
    if (PyErr_CheckSignals())
        return NULL;
    return more ? Py_NewRef(self->source) : NULL;
}

static PyObject *gate_costs(GateObject *self, PyObject *Py_UNUSED(none)) {
    return PyBytes_FromStringAndSize((const char *)self->gate.costs,
                                     (Py_ssize_t)(self->gate.cost_count * sizeof *self->gate.costs));
}

static PyMethodDef gate_methods[] = {
    {"costs", (PyCFunction)gate_costs, METH_NOARGS, "What each frame cost the publisher, as uint32 ns."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef gate_members[] = {
    {"source", T_OBJECT_EX, offsetof(GateObject, source), READONLY, "The memory that every frame is copied from."},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject gate_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "benchmarks.harness._native.Gate",
    .tp_basicsize = sizeof(GateObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)gate_init,
    .tp_dealloc = (destructor)gate_dealloc,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = (iternextfunc)gate_iternext,
    .tp_methods = gate_methods,
    .tp_members = gate_members,
};

/* --------------------------------------------------------------------- Check */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Py_buffer board;
    struct check check;
} CheckObject;

static PyObject *verdict_of(CheckObject *self, enum verdict verdict) {
    if (verdict == VERDICT_MORE)
        Py_RETURN_TRUE;
    if (verdict == VERDICT_DONE)
        Py_RETURN_FALSE;
    const struct check *check = &self->check;
    if (check->wrong_size)
        return PyErr_Format(PyExc_ValueError, "a frame of %zu bytes, not %zu", check->wrong_size, check->size);
    return PyErr_Format(PyExc_ValueError, "frame %llu where %llu should be", (unsigned long long)check->wrong_number,
                        (unsigned long long)check->expected);
}

static PyObject *check_call(PyObject *callable, PyObject *const *args, size_t count, PyObject *names) {
    CheckObject *self = (CheckObject *)callable;
    Py_buffer view;
    if (PyVectorcall_NARGS(count) != 1 || names) {
        PyErr_SetString(PyExc_TypeError, "a Check takes one frame");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE))
        return NULL;
    const enum verdict verdict = check_frame(&self->check, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return verdict_of(self, verdict);
}

static PyObject *check_at(CheckObject *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "at(address, size)");
        return NULL;
    }
    const void *address = PyLong_AsVoidPtr(args[0]);
    const size_t size = PyLong_AsSize_t(args[1]);
    if (PyErr_Occurred())
        return NULL;
    return verdict_of(self, check_frame(&self->check, address, size));
}

static PyObject *check_attached(CheckObject *self, PyObject *Py_UNUSED(none)) {
    atomic_store(&self->check.line->state, STATE_ATTACHED);
    Py_RETURN_NONE;
}

static PyObject *check_latencies(CheckObject *self, PyObject *Py_UNUSED(none)) {
    return PyBytes_FromStringAndSize((const char *)self->check.latencies,
                                     (Py_ssize_t)(self->check.latency_count * sizeof *self->check.latencies));
}

static int check_init(CheckObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"board", "subscribers", "index", "size", "stride", "warmup", "latencies", NULL};
    unsigned int subscribers, index;
    unsigned long long size, stride, warmup, latencies;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "w*$IIKKKK:Check", names, &self->board, &subscribers, &index, &size,
                                     &stride, &warmup, &latencies))
        return -1;
    struct board *board = self->board.buf;
    self->vectorcall = check_call;
    self->check = (struct check){.board = board,
                                 .line = &board->lines[index],
                                 .subscribers = subscribers,
                                 .size = size,
                                 .stride = stride,
                                 .from = warmup};
    if (latencies) {
        self->check.latencies = calloc(latencies, sizeof *self->check.latencies);
        self->check.latency_room = self->check.latencies ? latencies : 0;
    }
    return 0;
}

static void check_dealloc(CheckObject *self) {
    free(self->check.latencies);
    PyBuffer_Release(&self->board);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef check_methods[] = {
    {"at", (PyCFunction)(void (*)(void))check_at, METH_FASTCALL, "As calling, for a frame given as address and size."},
    {"attached", (PyCFunction)check_attached, METH_NOARGS, "This subscriber's transport is set up."},
    {"latencies", (PyCFunction)check_latencies, METH_NOARGS, "Publish to here of each frame, as uint32 ns."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject check_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "benchmarks.harness._native.Check",
    .tp_basicsize = sizeof(CheckObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(CheckObject, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)check_init,
    .tp_dealloc = (destructor)check_dealloc,
    .tp_methods = check_methods,
};

/* -------------------------------------------------------------------- limits */

static PyObject *outcome(int error) {
    if (error == 0)
        Py_RETURN_NONE;
    return PyErr_Format(PyExc_RuntimeError, "the C loop ended with %d", error);
}

static PyObject *module_core_publish(PyObject *Py_UNUSED(module), PyObject *args) {
    int fd, error;
    GateObject *gate;
    if (!PyArg_ParseTuple(args, "iO!", &fd, &gate_type, &gate))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    error = core_publish(fd, &gate->gate);
    Py_END_ALLOW_THREADS
    return outcome(error);
}

static PyObject *module_core_read(PyObject *Py_UNUSED(module), PyObject *args) {
    int fd, copying, error;
    long long spin_ns;
    CheckObject *check;
    if (!PyArg_ParseTuple(args, "iO!pL", &fd, &check_type, &check, &copying, &spin_ns))
        return NULL;
    atomic_store(&check->check.line->state, STATE_ATTACHED);
    Py_BEGIN_ALLOW_THREADS
    error = core_read(fd, &check->check, copying, spin_ns);
    Py_END_ALLOW_THREADS
    return error == -EPROTO && (check->check.wrong_size || check->check.wrong_number)
               ? verdict_of(check, VERDICT_WRONG)
               : outcome(error);
}

static PyObject *module_copy_around(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer mapping;
    GateObject *gate;
    int error;
    if (!PyArg_ParseTuple(args, "w*O!", &mapping, &gate_type, &gate))
        return NULL;
    if (mapping.len < gate->memory.len) {
        PyBuffer_Release(&mapping);
        return PyErr_Format(PyExc_ValueError, "the mapping is smaller than a frame");
    }
    Py_BEGIN_ALLOW_THREADS
    error = copy_around(mapping.buf, (size_t)mapping.len, &gate->gate);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&mapping);
    return outcome(error);
}

static PyObject *module_wake_nobody(PyObject *Py_UNUSED(module), PyObject *rounds) {
    const size_t count = PyLong_AsSize_t(rounds);
    PyObject *costs = PyErr_Occurred() ? NULL : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(uint32_t)));
    if (costs)
        wake_nobody((uint32_t *)(void *)PyBytes_AS_STRING(costs), count);
    return costs;
}

static PyMethodDef functions[] = {
    {"board_size", module_board_size, METH_O, "Bytes of a board for so many subscribers."},
    {"clear_board", module_clear_board, METH_O, "Make the memory a board on which nothing has happened."},
    {"read_board", module_read_board, METH_VARARGS, "What the board says."},
    {"core_publish", module_core_publish, METH_VARARGS, "The C core's writer, in a loop without Python."},
    {"core_read", module_core_read, METH_VARARGS, "The C core's reader, in a loop without Python."},
    {"copy_around", module_copy_around, METH_VARARGS, "memcpy alone, in a loop without Python."},
    {"wake_nobody", module_wake_nobody, METH_O, "FUTEX_WAKE with nobody asleep, as uint32 ns each."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "benchmarks.harness._native",
    .m_doc = "The harness's hot halves, in C.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    if (PyModule_AddType(module, &gate_type) || PyModule_AddType(module, &check_type) ||
        PyModule_AddIntConstant(module, "STATE_ATTACHED", STATE_ATTACHED) ||
        PyModule_AddIntConstant(module, "STATE_DONE", STATE_DONE)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
