/* From one type of activations to another, eight neighbouring elements a thread. */
#include "cuda/common.cuh"

enum { THREADS = 256 };

template <class FROM, class TO> struct conversion {
	struct rows<FROM> from;
	struct rows<TO> to;
	int64_t cols, groups, across; /* across: groups of a row */
	int wide;
};

template <class FROM, class TO> static __global__ void __launch_bounds__(THREADS) convert(struct conversion<FROM, TO> a)
{
	const int64_t group = (int64_t)blockIdx.x * THREADS + threadIdx.x;
	if (group >= a.groups)
		return;
	const int64_t i = a.across == a.groups ? 0 : group / a.across, j = (group - i * a.across) * GROUP;
	const int all = wide_at(a.wide, j, a.cols);
	store8(row_at(a.to, i), j, a.cols, all, load8(row_at(a.from, i), j, a.cols, all));
}

/* Rows without gaps are one long row. */
static struct sp_matrix joined(struct sp_matrix m, int gapless)
{
	if (gapless) {
		m.cols = m.stride = m.rows * m.cols;
		m.rows = 1;
	}
	return m;
}

template <class FROM, class TO> static struct conversion<FROM, TO> conversion_of(struct sp_matrix from, struct sp_matrix to)
{
	const int gapless = from.stride == from.cols && to.stride == to.cols;
	const struct sp_matrix moved[] = { joined(from, gapless), joined(to, gapless) };
	const int64_t rows = moved[0].rows, cols = moved[0].cols, across = ceil_div(cols, GROUP);
	return { rows_of<FROM>(moved[0]), rows_of<TO>(moved[1]), cols, rows * across, across, is_wide(GROUP, moved, 2) };
}

template <class FROM> struct conversion_from {
	template <class TO> static int queue(struct sp_cuda *cuda, struct sp_matrix from, struct sp_matrix to)
	{
		const struct conversion<FROM, TO> a = conversion_of<FROM, TO>(from, to);
		return a.groups == 0 ? SP_OK : SP_LAUNCH(cuda, (convert<FROM, TO>), ceil_div(a.groups, THREADS), THREADS, 0, a);
	}
};

template <class FROM> static int queue(struct sp_cuda *cuda, struct sp_matrix from, struct sp_matrix to)
{
	return SP_BY_ELEMENT(to.dtype, conversion_from<FROM>::template queue, cuda, from, to);
}

/* ---- added ---- */

template <class FROM> static __global__ void __launch_bounds__(THREADS) add_converted(struct conversion<FROM, float> a)
{
	const int64_t group = (int64_t)blockIdx.x * THREADS + threadIdx.x;
	if (group >= a.groups)
		return;
	const int64_t i = a.across == a.groups ? 0 : group / a.across, j = (group - i * a.across) * GROUP;
	const int all = wide_at(a.wide, j, a.cols);
	float *to = row_at(a.to, i);
	store8(to, j, a.cols, all, add8(load8(to, j, a.cols, all), load8(row_at(a.from, i), j, a.cols, all)));
}

template <class FROM> static int queue_adding(struct sp_cuda *cuda, struct sp_matrix from, struct sp_matrix to)
{
	const struct conversion<FROM, float> a = conversion_of<FROM, float>(from, to);
	return a.groups == 0 ? SP_OK : SP_LAUNCH(cuda, add_converted<FROM>, ceil_div(a.groups, THREADS), THREADS, 0, a);
}

extern "C" int sp_cuda_add_converted(struct sp_cuda *cuda, struct sp_matrix from, struct sp_matrix to)
{
	return SP_BY_ELEMENT(from.dtype, queue_adding, cuda, from, to);
}

extern "C" int sp_cuda_convert(void *ctx, struct sp_matrix from, struct sp_matrix to)
{
	return SP_BY_ELEMENT(from.dtype, queue, static_cast<struct sp_cuda *>(ctx), from, to);
}
