/* Stands in for backends/cuda/tensor_cores.cuh where kernels are compiled by a C++ compiler: what it says of fragments, done by
 * the processor. A copy arrives when it is waited for, and not before. May include: cuda/elements.cuh. */
#ifndef SP_CUDA_TENSOR_CORES_CUH
#define SP_CUDA_TENSOR_CORES_CUH

#include "cuda/elements.cuh"

namespace simulator {

/* Element `i` of row `row` of the matrices that the lanes of a warp have named. */
static inline uint32_t element(void *const *named, int matrix, unsigned row, unsigned i)
{
	uint16_t x;
	memcpy(&x, static_cast<const char *>(named[matrix * 8 + (int)row]) + 2 * i, sizeof x);
	return x;
}

/* Of one lane, widened. */
struct fragments {
	float2 a[4], b[2];
};

template <class E> void multiply(float c[4], const uint32_t a[4], const uint32_t b[2], const E *type)
{
	const struct fragments own = { { unpack(a[0], type), unpack(a[1], type), unpack(a[2], type), unpack(a[3], type) },
		                           { unpack(b[0], type), unpack(b[1], type) } };
	const struct fragments *all = static_cast<const struct fragments *>(show(&own, sizeof own));
	const unsigned g = thread->lane / 4, t = thread->lane % 4;
	for (unsigned i = 0; i < 4; i++) {
		const unsigned column = 2 * t + i % 2;
		float sum = c[i];
		for (unsigned k = 0; k < 16; k += 2) {
			const float2 x = all[g * 4 + k % 8 / 2].a[i / 2 + k / 8 * 2], y = all[column * 4 + k % 8 / 2].b[k / 8];
			sum += x.x * y.x + x.y * y.y;
		}
		c[i] = sum;
	}
}

struct copy {
	void *to;
	const void *from;
};
enum { COPIES = 32, GROUPS = 4 };
/* Of one thread, the last `groups` groups of copies. */
struct copies {
	struct copy copy[GROUPS][COPIES];
	int count[GROUPS], groups;
};

static inline void arrive(struct copies *c)
{
	for (int i = 0; i < c->count[0]; i++)
		memcpy(c->copy[0][i].to, c->copy[0][i].from, 16);
	memmove(c->copy[0], c->copy[1], sizeof c->copy[0] * (GROUPS - 1));
	memmove(c->count, c->count + 1, sizeof c->count[0] * (GROUPS - 1));
	c->count[GROUPS - 1] = 0;
	c->groups--;
}

static struct copies copies_of[1024];

} // namespace simulator

static inline void load_matrices(uint32_t x[4], const void *row)
{
	void *const *named = static_cast<void *const *>(simulator::show(&row, sizeof row));
	const unsigned g = simulator::thread->lane / 4, t = simulator::thread->lane % 4;
	for (int i = 0; i < 4; i++)
		x[i] = simulator::element(named, i, g, 2 * t) | simulator::element(named, i, g, 2 * t + 1) << 16;
}

static inline void load_turned(uint32_t x[4], const void *row)
{
	void *const *named = static_cast<void *const *>(simulator::show(&row, sizeof row));
	const unsigned g = simulator::thread->lane / 4, t = simulator::thread->lane % 4;
	for (int i = 0; i < 4; i++)
		x[i] = simulator::element(named, i, 2 * t, g) | simulator::element(named, i, 2 * t + 1, g) << 16;
}

template <class E> static inline void multiply_add(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1, const E *type)
{
	const uint32_t b[] = { b0, b1 };
	simulator::multiply(c, a, b, type);
}

static inline void copy_ahead(void *shared, const void *global)
{
	struct simulator::copies *c = &simulator::copies_of[simulator::thread->index];
	if (c->count[c->groups] == simulator::COPIES)
		abort();
	c->copy[c->groups][c->count[c->groups]++] = { shared, global };
}

static inline void end_of_copies()
{
	struct simulator::copies *c = &simulator::copies_of[simulator::thread->index];
	if (++c->groups == simulator::GROUPS)
		abort();
}

template <int LATER> static inline void wait_for_copies()
{
	struct simulator::copies *c = &simulator::copies_of[simulator::thread->index];
	while (c->groups > LATER)
		simulator::arrive(c);
}

#endif
