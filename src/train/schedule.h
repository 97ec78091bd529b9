/* The learning rate of each step. May include: libc. */
#ifndef SP_TRAIN_SCHEDULE_H
#define SP_TRAIN_SCHEDULE_H

#include <stdint.h>

enum sp_schedule_style { SP_SCHEDULE_LINEAR = 0, SP_SCHEDULE_COSINE, SP_SCHEDULE_CONSTANT };

struct sp_schedule {
	double lr, min_lr;
	int64_t warmup, decay; /* in steps; warmup <= decay */
	enum sp_schedule_style style;
};

/* warmup = round(warmup_fraction x decay). */
struct sp_schedule sp_schedule_make(double lr, double min_lr, double warmup_fraction, int64_t decay,
                                    enum sp_schedule_style style);

/* Rate of the step that follows `done` steps: lr (done + 1) / warmup while done < warmup; then, with
 * r = (done - warmup) / (decay - warmup), from lr down to min_lr as 1 - r (linear) or (1 + cos(pi r)) / 2 (cosine);
 * min_lr from done = decay on. Constant stays at lr. */
double sp_schedule_rate(const struct sp_schedule *s, int64_t done);

#endif
