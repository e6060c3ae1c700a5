/* fault.c - what a fault point does in the test's build: nothing, until it is armed.
 *
 * Armed from Python through ctypes (points.py) or by the environment: ARCLYD_FAULT="slot.word:kill:3 head:delay:1:500".
 * A trap writes "at NAME" on one descriptor and waits for a byte from another, so that whoever holds the other ends
 * decides what happens next. The whole process waits, as it would under SIGSTOP, but where the test wants it.
 */
#include "core/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum action { OFF, KILL, STOP, DELAY, TRAP };

static struct arm {
    char name[32]; /* "*": every point */
    enum action action;
    long nth; /* 0: every time from now on; n: the n-th time, once */
    long microseconds;
} arms[8];
static int told = 1, heard = 0;

int arcly_fault_arm(const char *name, int action, long nth, long microseconds) {
    for (size_t i = 0; i < sizeof arms / sizeof *arms; i++)
        if (arms[i].action == OFF) {
            snprintf(arms[i].name, sizeof arms[i].name, "%s", name);
            arms[i].action = (enum action)action;
            arms[i].nth = nth;
            arms[i].microseconds = microseconds;
            return 0;
        }
    return -1;
}

void arcly_fault_disarm(void) {
    memset(arms, 0, sizeof arms);
}

void arcly_fault_pipe(int out, int in) {
    told = out;
    heard = in;
}

static void trap(const char *name) {
    char line[48], go;
    const int size = snprintf(line, sizeof line, "at %s\n", name);
    ssize_t done;
    if (write(told, line, (size_t)size) != size)
        _exit(99);
    while ((done = read(heard, &go, 1)) < 0 && errno == EINTR)
        ;
    if (done != 1)
        _exit(98); /* whoever held the other end is gone */
}

static void act(const struct arm *arm, const char *name) {
    const struct timespec pause = {arm->microseconds / 1000000, arm->microseconds % 1000000 * 1000};
    switch (arm->action) {
    case KILL:
        kill(getpid(), SIGKILL);
        for (;;)
            ; /* it is on its way */
    case STOP:
        kill(getpid(), SIGSTOP);
        break;
    case DELAY:
        nanosleep(&pause, NULL);
        break;
    case TRAP:
        trap(name);
        break;
    case OFF:
        break;
    }
}

void arcly_fault(const char *name) {
    for (size_t i = 0; i < sizeof arms / sizeof *arms; i++) {
        struct arm *arm = &arms[i];
        if (arm->action == OFF || (strcmp(arm->name, name) && strcmp(arm->name, "*")))
            continue;
        if (arm->nth > 1) {
            arm->nth--;
            continue;
        }
        const struct arm now = *arm;
        if (arm->nth == 1)
            arm->action = OFF;
        act(&now, name);
    }
}

__attribute__((constructor)) static void arm_from_environment(void) {
    static const char *const words[] = {"off", "kill", "stop", "delay", "trap"};
    const char *said = getenv("ARCLYD_FAULT");
    char copy[512], *rest = copy;
    snprintf(copy, sizeof copy, "%s", said ? said : "");
    for (char *one; (one = strtok_r(rest, " ", &rest));) {
        char name[32], action[8];
        long nth = 1, microseconds = 0;
        if (sscanf(one, "%31[^:]:%7[^:]:%ld:%ld", name, action, &nth, &microseconds) < 2)
            _exit(97);
        for (int i = 0; i < 5; i++)
            if (strcmp(words[i], action) == 0)
                arcly_fault_arm(name, i, nth, microseconds);
    }
}
