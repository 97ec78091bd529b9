/* Time that never goes back. May include: libc. */
#ifndef SP_BASE_CLOCK_H
#define SP_BASE_CLOCK_H

/* Seconds since an arbitrary start, the same start for all processes of one machine. */
double sp_clock(void);

#endif
