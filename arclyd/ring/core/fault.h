/* fault.h - named places where a test may kill, stop or delay the process that runs the core.
 *
 * ARCLY_FAULT("gop.word") stands after the step it names. Built for use it is no code at all; with
 * -DARCLY_FAULTS it calls arcly_fault, which the test's build brings along (tests/stress/faults).
 */
#ifndef ARCLY_FAULT_H
#define ARCLY_FAULT_H

#ifdef ARCLY_FAULTS
void arcly_fault(const char *name);
#define ARCLY_FAULT(name) arcly_fault(name)
#else
#define ARCLY_FAULT(name) ((void)0)
#endif

#endif
