/* Stands in for cuDNN behind backends/cuda/sdpa.h: attention in double precision on the processor, rounded once. It holds its caller
 * to what the library asks for: alignments, sizes, a plan used for what it was made for, room where it writes.
 * SEQPAR_CUDASIM_SDPA=absent: there is no library. =wrong: gradients of keys lack a factor. =none: there is never a plan. */
#include "config.h"

#include "base/log.h"
#include "cuda/sdpa.h"
#include "cudasim/graph.hpp"
#include "cudasim/memory.hpp"
#include "cudasim/sixteen.hpp"

#include <seqpar/status.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

struct plan {
	struct sp_cuda_sdpa_plan base; /* first: what callers see */
	struct sp_cuda_sdpa_shape shape;
};

enum { WORKSPACE = 256 };

static int asked_for(const char *what)
{
	const char *given = getenv("SEQPAR_CUDASIM_SDPA");
	return given && strcmp(given, what) == 0;
}

static float read(const struct sp_cuda_sdpa_shape &s, const void *from, int64_t at)
{
	const uint16_t bits = static_cast<const uint16_t *>(from)[at];
	return s.dtype == SP_BF16 ? simulator::from_bfloat16(bits) : simulator::from_float16(bits);
}

static void write(const struct sp_cuda_sdpa_shape &s, void *to, int64_t at, double x)
{
	static_cast<uint16_t *>(to)[at] = s.dtype == SP_BF16 ? simulator::to_bfloat16((float)x) : simulator::to_float16((float)x);
}

/* ---- plans ---- */

static int make(struct sp_cuda_sdpa *, const struct sp_cuda_sdpa_shape *s, struct sp_cuda_sdpa_plan **made, char *why, size_t size)
{
	const int64_t width = s->heads * s->head_dim;
	const int64_t strides[] = { s->q, s->k, s->v, s->o, s->backward ? s->dout : width };
	int wrong = (s->dtype != SP_BF16 && s->dtype != SP_F16) || s->head_dim % 8 != 0 || s->batch < 1 || s->heads < 1 || s->head_dim < 8 ||
	            s->chunk < 1 || s->keys < 1 || (!s->backward && (s->o != width || s->dout != 0));
	for (const int64_t stride : strides)
		wrong = wrong || stride < width || stride % 8 != 0;
	if (wrong) {
		fprintf(stderr, "simulator: no such shape may be asked for\n");
		abort();
	}
	if (asked_for("none"))
		return sp_say(SP_ERR_UNUSABLE, why, size, "no plan, as asked for");
	struct plan *p = static_cast<struct plan *>(malloc(sizeof *p));
	if (!p)
		return sp_fail(SP_ERR_MEMORY, "cudasim: no memory");
	*p = { { WORKSPACE }, *s };
	*made = &p->base;
	return SP_OK;
}

static void unmake(struct sp_cuda_sdpa_plan *p)
{
	free(p);
}

static int is_there(const void *pointer)
{
	return pointer && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

static int is_given(const struct sp_cuda_sdpa_shape &s, const struct sp_cuda_sdpa_data &d)
{
	const int forward = is_there(d.q) && is_there(d.k) && is_there(d.v) && is_there(d.o) && is_there(d.stats) && is_there(d.workspace);
	return forward && (!s.backward || (is_there(d.dout) && is_there(d.dq) && is_there(d.dk) && is_there(d.dv) && is_there(d.dots) &&
	                                   is_there(d.dq_sums)));
}

/* ---- one head of one sample ---- */

struct view {
	const struct sp_cuda_sdpa_shape &s;
	const struct sp_cuda_sdpa_data &d;
	int64_t b, a;

	int64_t line(int64_t i) const { return (b * s.heads + a) * s.chunk + i; }
	int64_t query(int64_t stride, int64_t i, int64_t c) const { return (b * s.chunk + i) * stride + a * s.head_dim + c; }
	int64_t key(int64_t stride, int64_t j, int64_t c) const { return (b * s.keys + j) * stride + a * s.head_dim + c; }

	double score(int64_t i, int64_t j) const
	{
		double sum = 0;
		for (int64_t c = 0; c < s.head_dim; c++)
			sum += (double)read(s, d.q, query(s.q, i, c)) * read(s, d.k, key(s.k, j, c));
		return d.scale * sum;
	}

	/* Row i of dout times a row of `x`. */
	template <class At> double meets(int64_t i, const void *x, At at) const
	{
		double sum = 0;
		for (int64_t c = 0; c < s.head_dim; c++)
			sum += (double)read(s, d.dout, query(s.dout, i, c)) * read(s, x, at(c));
		return sum;
	}
};

static void forward(const struct view &v)
{
	const struct sp_cuda_sdpa_shape &s = v.s;
	std::vector<double> p((size_t)s.keys);
	for (int64_t i = 0; i < s.chunk; i++) {
		double max = -INFINITY, sum = 0;
		for (int64_t j = 0; j < s.keys; j++)
			max = fmax(max, p[(size_t)j] = v.score(i, j));
		for (double &x : p)
			sum += x = exp(x - max);
		for (int64_t c = 0; c < s.head_dim; c++) {
			double o = 0;
			for (int64_t j = 0; j < s.keys; j++)
				o += p[(size_t)j] / sum * read(s, v.d.v, v.key(s.v, j, c));
			write(s, v.d.o, v.query(s.o, i, c), o);
		}
		v.d.stats[v.line(i)] = (float)(max + log(sum));
	}
}

static void backward(const struct view &v)
{
	const struct sp_cuda_sdpa_shape &s = v.s;
	const struct sp_cuda_sdpa_data &d = v.d;
	const int64_t width = s.heads * s.head_dim;
	const double factor = asked_for("wrong") ? 1 : d.scale;
	std::vector<double> dk((size_t)(s.keys * s.head_dim)), dv = dk, dq((size_t)s.head_dim);
	for (int64_t i = 0; i < s.chunk; i++) {
		d.dots[v.line(i)] = (float)v.meets(i, d.o, [&](int64_t c) { return v.query(s.o, i, c); });
		for (double &x : dq)
			x = 0;
		for (int64_t j = 0; j < s.keys; j++) {
			const double p = exp(v.score(i, j) - d.stats[v.line(i)]);
			const double ds = p * (v.meets(i, d.v, [&](int64_t c) { return v.key(s.v, j, c); }) - d.dots[v.line(i)]);
			for (int64_t c = 0; c < s.head_dim; c++) {
				dq[(size_t)c] += d.scale * ds * read(s, d.k, v.key(s.k, j, c));
				dk[(size_t)(j * s.head_dim + c)] += factor * ds * read(s, d.q, v.query(s.q, i, c));
				dv[(size_t)(j * s.head_dim + c)] += p * read(s, d.dout, v.query(s.dout, i, c));
			}
		}
		for (int64_t c = 0; c < s.head_dim; c++) {
			d.dq_sums[v.line(i) * s.head_dim + c] = (float)dq[(size_t)c];
			write(s, d.dq, v.query(width, i, c), dq[(size_t)c]);
		}
	}
	for (int64_t j = 0; j < s.keys; j++)
		for (int64_t c = 0; c < s.head_dim; c++) {
			write(s, d.dk, v.key(width, j, c), dk[(size_t)(j * s.head_dim + c)]);
			write(s, d.dv, v.key(width, j, c), dv[(size_t)(j * s.head_dim + c)]);
		}
}

static int run(struct sp_cuda_sdpa *, struct sp_cuda_sdpa_plan *p, const struct sp_cuda_sdpa_data *data)
{
	const struct sp_cuda_sdpa_shape s = reinterpret_cast<struct plan *>(p)->shape;
	if (!is_given(s, *data)) {
		fprintf(stderr, "simulator: attention of what is not there, or not aligned\n");
		abort();
	}
	const struct sp_cuda_sdpa_data own = *data;
	simulator::perform([s, own] {
		const simulator::opened open;
		memset(own.workspace, 0xff, WORKSPACE);
		for (int64_t b = 0; b < s.batch; b++)
			for (int64_t a = 0; a < s.heads; a++)
				(s.backward ? backward : forward)({ s, own, b, a });
	});
	return SP_OK;
}

static void shut(struct sp_cuda_sdpa *sdpa)
{
	free(sdpa);
}

extern "C" int sp_cuda_sdpa_open(struct sp_cuda *, struct sp_cuda_sdpa **sdpa, char *why, size_t size)
{
	if (asked_for("absent"))
		return sp_say(SP_ERR_UNUSABLE, why, size, "no libcudnn.so.9, as asked for");
	struct sp_cuda_sdpa *made = static_cast<struct sp_cuda_sdpa *>(malloc(sizeof *made));
	if (!made)
		return sp_fail(SP_ERR_MEMORY, "cudasim: no memory");
	*made = { "cuDNN simulated", make, unmake, run, shut };
	*sdpa = made;
	return SP_OK;
}
