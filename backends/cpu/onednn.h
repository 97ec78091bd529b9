/* Matrix products by oneDNN, whose bfloat16 products use instructions that the BLAS does not. May include: libc,
 * seqpar/{tensor,status}.h.
 *
 * A product runs on the thread that asks for it, and many may run at once. oneDNN compiles code for each combination of sizes and
 * strides, so products are made ready first, by one thread, and what was made is kept. Results depend on nothing but the
 * arguments. */
#ifndef SP_CPU_ONEDNN_H
#define SP_CPU_ONEDNN_H

#include <seqpar/status.h>
#include <seqpar/tensor.h>
#include <stddef.h>
#include <stdint.h>

struct sp_onednn;

/* c (m, n) = op(a) op(b) [+ c], row-major, k terms; strides from row to row as stored. a and b are of one dtype, sums are float32, and
 * c is that or of the dtype of a and b, rounded once. Any size may be 0. */
struct sp_onednn_product {
	int64_t m, n, k, a_stride, b_stride, c_stride;
	int turn_a, turn_b; /* op(x) = x^T: a is stored (k, m), b (n, k) */
	int add;
	enum sp_dtype dtype, result; /* of a and b; of c */
};

/* For `threads` threads. SP_ERR_ABSENT: not built; SP_ERR_UNUSABLE: this library cannot be used, `why` says why; SP_ERR_MEMORY,
 * logged. */
int sp_onednn_open(int threads, struct sp_onednn **o, char *why, size_t size);
void sp_onednn_close(struct sp_onednn *o); /* NULL accepted */

/* "oneDNN 2.6.3" */
void sp_onednn_name(char *text, size_t size);
/* Whether the processor has instructions that multiply this dtype, and oneDNN may use them, or might if it were built in: AVX512_BF16
 * or AMX for bfloat16. What is fast is known. */
int sp_onednn_is_fast(enum sp_dtype dtype);
/* Whether it multiplies this dtype here at all. */
int sp_onednn_knows(struct sp_onednn *o, enum sp_dtype dtype);

/* Before the products of an operation are made ready: forgets old ones if there is not enough room for those of another. */
void sp_onednn_tidy(struct sp_onednn *o);
/* Called outside of parallel regions. SP_ERR_UNUSABLE: it does not do this product, or only by a plain loop; SP_ERR_MEMORY, logged. */
int sp_onednn_ready(struct sp_onednn *o, const struct sp_onednn_product *p);
/* By thread number `thread` of those it was opened for. p has been made ready since the last sp_onednn_tidy. SP_ERR_DEVICE, logged. */
int sp_onednn_multiply(struct sp_onednn *o, const struct sp_onednn_product *p, int thread, const void *a, const void *b, void *c);

#endif
