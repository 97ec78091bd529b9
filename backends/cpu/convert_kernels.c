/* From one element type of activations to another. */
#include "config.h"

#include "cpu/elements.h"
#include "cpu/kernels.h"

void SP_KERNEL(convert)(const struct sp_matrix *from, const struct sp_matrix *to)
{
	const int64_t n = from->cols;
	for (int64_t i = 0; i < from->rows && n > 0; i++)
		if (from->dtype == to->dtype && to->dtype == SP_F32)
			memcpy(sp_float_at(to, i, 0), sp_float_at(from, i, 0), (size_t)n * sizeof(float));
		else if (from->dtype == to->dtype)
			memcpy(sp_half_at(to, i, 0), sp_half_at(from, i, 0), (size_t)n * sizeof(uint16_t));
		else if (to->dtype == SP_F32)
			sp_widen(sp_half_at(from, i, 0), n, sp_float_at(to, i, 0));
		else
			sp_narrow(sp_float_at(from, i, 0), n, sp_half_at(to, i, 0));
}
