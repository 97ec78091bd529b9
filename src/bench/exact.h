/* Attention of whole sequences on the host: random inputs, and float64 against which results are held on sampled rows.
 * May include: base, seqpar/compute.h. */
#ifndef SP_BENCH_EXACT_H
#define SP_BENCH_EXACT_H

#include <seqpar/compute.h>
#include <stdint.h>

/* Tokens at `length` and beyond are padding. Shapes: qkv, dqkv (B padded, 3 H), dout, o (B padded, H), lse (B A, padded). */
struct sp_bench_exact {
	int64_t batch, length, padded, heads, head_dim;
	struct sp_dropout dropout;
	float *qkv, *dout;      /* in */
	int32_t *doc;           /* [batch][padded] */
	uint32_t *sample;       /* [batch] */
	float *o, *lse, *dqkv;  /* out, by whoever computes it */
};

/* Allocates all, draws the inputs. SP_ERR_MEMORY, logged; what there is then goes with sp_bench_exact_free. */
int sp_bench_exact_make(struct sp_bench_exact *e);
void sp_bench_exact_free(struct sp_bench_exact *e);

/* The largest relative L2 difference, from float64, of some rows of o, lse and the three gradients. Of all keys' gradients the
 * probabilities come from the lse that was checked. */
double sp_bench_exact_error(const struct sp_bench_exact *e);

#endif
