/* Waiter. Tells an event loop by a descriptor when to look at the ring: by an io_uring, or, where there is none to be
 * had, by an eventfd and a thread of its own that sleeps on the futex and knows no Python. */
#include "_ring.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/uring.h"

typedef struct {
    PyObject_HEAD
    ReaderObject *reader;
    pid_t owner; /* a forked child has neither the thread nor the ring */
    int fd; /* the io_uring's or the eventfd's; -1: closed */
    bool has_uring, stopped;
    struct arcly_uring uring;
    /* else */
    bool started;
    pthread_t thread;
    pthread_mutex_t lock; /* guards armed and sampled */
    pthread_cond_t changed;
    bool armed;
    uint32_t sampled;
    arcly_u32 stopping;
} WaiterObject;

/* ---------------------------------------------------------------- thread */

static void *listen_on(void *argument) {
    WaiterObject *self = argument;
    const struct arcly_region *region = &self->reader->region->region;
    const uint64_t one = 1;
    pthread_mutex_lock(&self->lock);
    while (!arcly_acquire_u32(&self->stopping)) {
        if (!self->armed) {
            pthread_cond_wait(&self->changed, &self->lock);
            continue;
        }
        const uint32_t sampled = self->sampled;
        self->armed = false;
        pthread_mutex_unlock(&self->lock);
        arcly_wait(region, sampled, GLUE_SLICE_NS);
        /* It fails only where the counter is full, and then the descriptor is readable, too. */
        const bool rung = write(self->fd, &one, sizeof one) == sizeof one;
        (void)rung;
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* Signals are the business of the program's own threads. */
static int start_thread(WaiterObject *self) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&self->thread, NULL, listen_on, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    pthread_setname_np(self->thread, "arclyd-waiter");
    self->started = true;
    return 0;
}

static void stop_thread(WaiterObject *self) {
    if (!self->started || self->owner != getpid())
        return;
    self->started = false;
    pthread_mutex_lock(&self->lock);
    arcly_publish_u32(&self->stopping, 1);
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    for (;;) { /* a nudge between its sample and its sleep is lost: another one then */
        struct timespec soon;
        arcly_nudge(&self->reader->region->region);
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 1000000;
        if (soon.tv_nsec >= 1000000000) {
            soon.tv_nsec -= 1000000000;
            soon.tv_sec++;
        }
        if (pthread_timedjoin_np(self->thread, NULL, &soon) != ETIMEDOUT)
            return;
    }
}

static int arm_thread(WaiterObject *self, uint32_t sampled) {
    if (!self->started && start_thread(self))
        return -1;
    pthread_mutex_lock(&self->lock);
    self->sampled = sampled;
    self->armed = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    return 0;
}

/* ---------------------------------------------------------------- Waiter */

static PyObject *waiter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"reader", "thread", NULL};
    PyObject *reader;
    int thread = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$p:Waiter", names, &reader, &thread))
        return NULL;
    glue_state *state = PyType_GetModuleState(type);
    if (!PyObject_TypeCheck(reader, state->reader_type)) {
        PyErr_SetString(PyExc_TypeError, "a Waiter needs a Reader");
        return NULL;
    }
    WaiterObject *self = PyObject_New(WaiterObject, type);
    if (!self)
        return NULL;
    self->reader = (ReaderObject *)Py_NewRef(reader);
    self->owner = getpid();
    self->stopped = self->started = self->armed = false;
    arcly_publish_u32(&self->stopping, 0);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    self->has_uring = !thread && arcly_uring_open(&self->uring) == 0;
    self->fd = self->has_uring ? self->uring.fd : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void waiter_end(WaiterObject *self) {
    self->stopped = true;
    stop_thread(self);
    if (self->fd < 0)
        return;
    if (self->has_uring)
        arcly_uring_close(&self->uring, self->owner != getpid());
    else
        close(self->fd);
    self->fd = -1;
}

static void waiter_dealloc(WaiterObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    waiter_end(self);
    Py_DECREF(self->reader);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *waiter_fileno(WaiterObject *self, PyObject *Py_UNUSED(none)) {
    return PyLong_FromLong(self->fd);
}

static PyObject *waiter_arm(WaiterObject *self, PyObject *Py_UNUSED(none)) {
    if (self->stopped || self->owner != getpid()) {
        PyErr_SetString(PyExc_ValueError, "this waiter was stopped, or is another process's");
        return NULL;
    }
    const struct arcly_region *region = &self->reader->region->region;
    const uint32_t sampled = arcly_wake_sample(region);
    /* The try works on a copy, so that nothing is taken from the reader. */
    struct arcly_reader trial = self->reader->reader;
    struct arcly_item item;
    if (arcly_reader_next(&trial, &item, arcly_now()) != ARCLY_NOTHING)
        Py_RETURN_TRUE;
    if (self->has_uring) {
        const int error = arcly_uring_wait(&self->uring, region, sampled, arcly_patience(region, GLUE_SLICE_NS));
        if (error) {
            errno = -error;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
    } else if (arm_thread(self, sampled)) {
        return NULL;
    }
    Py_RETURN_FALSE;
}

static PyObject *waiter_clear(WaiterObject *self, PyObject *Py_UNUSED(none)) {
    uint64_t rings;
    if (self->fd < 0 || self->owner != getpid())
        Py_RETURN_FALSE;
    if (self->has_uring)
        return PyBool_FromLong(arcly_uring_take(&self->uring));
    return PyBool_FromLong(read(self->fd, &rings, sizeof rings) == sizeof rings);
}

static PyObject *waiter_stop(WaiterObject *self, PyObject *Py_UNUSED(none)) {
    self->stopped = true;
    Py_BEGIN_ALLOW_THREADS
    stop_thread(self);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *waiter_close(WaiterObject *self, PyObject *Py_UNUSED(none)) {
    waiter_end(self);
    Py_RETURN_NONE;
}

static PyMemberDef waiter_members[] = {
    {"has_uring", T_BOOL, offsetof(WaiterObject, has_uring), READONLY, "an io_uring waits, not a thread"},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef waiter_methods[] = {
    {"fileno", (PyCFunction)waiter_fileno, METH_NOARGS, "fileno()\n--\n\nThe descriptor to poll for reading."},
    {"arm", (PyCFunction)waiter_arm, METH_NOARGS,
     "arm()\n--\n\nTrue: the reader has something to say. Else the descriptor gets readable once it may have."},
    {"clear", (PyCFunction)waiter_clear, METH_NOARGS, "clear()\n--\n\nMake it unreadable again; True: the wait is over."},
    {"stop", (PyCFunction)waiter_stop, METH_NOARGS, "stop()\n--\n\nEnd the thread; the descriptor stays. Idempotent."},
    {"close", (PyCFunction)waiter_close, METH_NOARGS, "close()\n--\n\nEnd the thread, close the descriptor. Idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot waiter_slots[] = {
    {Py_tp_doc, "Waiter(reader, *, thread=False)\n--\n\nA descriptor that tells an event loop when to look at the ring."},
    {Py_tp_new, waiter_new},
    {Py_tp_dealloc, waiter_dealloc},
    {Py_tp_members, waiter_members},
    {Py_tp_methods, waiter_methods},
    {0, NULL},
};

PyType_Spec glue_waiter_spec = {"arclyd.ring._ring.Waiter", sizeof(WaiterObject), 0, Py_TPFLAGS_DEFAULT, waiter_slots};
