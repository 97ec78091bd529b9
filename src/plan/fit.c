#include "config.h"

#include "plan/fit.h"

#include "base/size.h"
#include "plan/classes.h"

size_t sp_plan_base(int ranks)
{
	enum { ALONE = 48, AMONG_OTHERS = 64 }; /* MiB: by how much a peak was beyond its plan at most, rounded up */
	return (size_t)(ranks > 1 ? AMONG_OTHERS : ALONE) << 20;
}

int sp_plan_fits(const struct sp_plan_input *input, size_t memory, int *fits)
{
	struct sp_plan_classes classes;
	*fits = 0;
	if (input->model.chunk > INT32_MAX / input->model.batch)
		return SP_OK;
	int status = sp_plan_classes_make(input, &classes);
	if (status)
		return status;
	*fits = sp_plan_classes_largest(&classes)->total <= memory;
	sp_plan_classes_free(&classes);
	return SP_OK;
}

/* The largest n in 1 .. most with fits(with(input, n)), which holds up to some n and not beyond; 0 if for none. First n is
 * doubled, so that no size is tried that is far beyond memory and would overflow. */
static int largest(const struct sp_plan_input *input, size_t memory, int64_t most,
                   struct sp_plan_input (*with)(const struct sp_plan_input *, int64_t), int64_t *n)
{
	int64_t low = 0, high = 1; /* low fits; high does not, once it has been tried or is beyond `most` */
	int fits = 1, status = SP_OK;
	while (!status && fits && high <= most) {
		const struct sp_plan_input tried = with(input, high);
		status = sp_plan_fits(&tried, memory, &fits);
		if (fits) {
			low = high;
			high = sp_min(2 * high, sp_max(most, high + 1));
		}
	}
	while (!status && high - low > 1) {
		const int64_t middle = low + (high - low) / 2;
		const struct sp_plan_input tried = with(input, middle);
		status = sp_plan_fits(&tried, memory, &fits);
		*(fits ? &low : &high) = middle;
	}
	*n = low;
	return status;
}

int sp_plan_longest(const struct sp_plan_input *input, size_t memory, int64_t most, int64_t *length)
{
	return largest(input, memory, most, sp_plan_with_length, length);
}

int sp_plan_largest_batch(const struct sp_plan_input *input, size_t memory, int64_t most, int64_t *batch)
{
	return largest(input, memory, most, sp_plan_with_batch, batch);
}
