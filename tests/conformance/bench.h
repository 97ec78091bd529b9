/* One case of one operation on the backend under test: its tensors on the device and, as float64, on the host; loading,
 * running twice, and holding the results against the reference. May include: backend, tests/reference.
 *
 * Tensors lie inside larger allocations whose other elements must not change. Operations run twice from the same state
 * and must give the same bits. Failures end the test through CMocka. */
#ifndef SP_TESTS_CONFORMANCE_BENCH_H
#define SP_TESTS_CONFORMANCE_BENCH_H

#include "backend/compute.h"
#include "conformance/bounds.h"
#include "reference/reference.h"

/* Before all others: the dtype of the tensors that the contract marks E. */
void bench_set_element(enum sp_dtype dtype);
enum sp_dtype bench_dtype(void);
/* Whether the backend was told to leave whole steps of attention to a library. */
void bench_set_library(int by_library);
int bench_by_library(void);
/* Its largest finite number, and its least normal one. */
double bench_largest(void);
double bench_least(void);

/* What the operation may do with a tensor: IN never changes; OUT is overwritten and holds NaN before; INOUT is changed;
 * SCRATCH is left undefined. */
enum role { IN, OUT, INOUT, SCRATCH };

/* Device memory is loaded from and stored to a host copy of the whole allocation, guard elements included. */
struct tensor {
	enum role role;
	enum sp_dtype dtype;
	int64_t rows, cols, stride, lead; /* lead: elements before the view */
	size_t elements;                  /* of the allocation */
	void *before, *after, *again;
	double *value; /* (rows, cols) packed: what the reference works on */
	void *device;
};

/* Plain bytes: ids, counters, sums. */
struct bytes {
	enum role role;
	size_t size;
	unsigned char *before, *after, *again;
	void *reference, *device;
};

enum { BENCH_TENSORS = 32, BENCH_BYTES = 16 };

struct bench {
	struct sp_compute *compute;
	char label[128];
	int strided, runs;
	int wavers; /* the second run may give other bits: set after bench_open */
	struct tensor tensor[BENCH_TENSORS];
	struct bytes bytes[BENCH_BYTES];
	int tensors, byte_arrays;
	struct bytes *key; /* of dropout, if it lies in device memory */
};

/* `strided`: tensors get gaps between rows and start off any alignment; else they are packed and aligned. The rest labels
 * the case in failures. */
void bench_open(struct bench *b, struct sp_compute *compute, int strided, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void bench_close(struct bench *b);

/* A tensor of standard normal values, or NaN if OUT, in float32; or one that the contract marks E. Both sides see values that
 * the dtype has. */
struct tensor *bench_tensor(struct bench *b, enum role role, int64_t rows, int64_t cols);
struct tensor *bench_element(struct bench *b, enum role role, int64_t rows, int64_t cols);
/* The same if `given`, else NULL, whose views are "not given". */
struct tensor *bench_optional(struct bench *b, int given, enum role role, int64_t rows, int64_t cols);
struct tensor *bench_optional_element(struct bench *b, int given, enum role role, int64_t rows, int64_t cols);
struct bytes *bench_bytes(struct bench *b, enum role role, const void *content, size_t size);

/* Changing what is loaded, before the first run. */
void tensor_scale(struct tensor *t, double factor, double offset);
void tensor_set(struct tensor *t, int64_t i, int64_t j, double value);
/* Takes the values that the reference wrote, rounded to the tensor's dtype, as what is loaded. */
void tensor_round(struct tensor *t);

/* mean and rstd of the rows of s, with an epsilon of 1e-3. */
void tensor_statistics(const struct tensor *s, struct tensor *mean, struct tensor *rstd);

/* Which of the two worlds an argument struct is made for. */
enum side { DEVICE, REFERENCE };
struct sp_matrix view(const struct tensor *t, enum side side);
/* One dropout for all of the bench that was opened last. In half of all benches its key lies in device memory. */
struct sp_dropout bench_dropout(uint32_t keep, enum side side);
/* Pointer to a 1-row tensor on the device, NULL for NULL. */
float *floats(const struct tensor *t);
void *at(const struct bytes *a, enum side side);

/* while (bench_again(&b)) { queue the operations }: loads before each of two runs, stores after, and checks that inputs
 * and guards are unchanged and that both runs gave the same bits. */
int bench_again(struct bench *b);

/* After the runs and the reference: |got - want| <= bound * max(|want|, floor) in L2, infinities and NaN equal; the bound is
 * that of the tensor's dtype. `floor` is the size of the terms where they may cancel; 0 if they do not. */
void bench_expect(struct bench *b, const struct tensor *t, enum bound bound, const char *name);
/* Of float32 that was summed up from products whose factors may have been rounded to E: held to the bound of E. */
void bench_expect_factors(struct bench *b, const struct tensor *t, enum bound bound, const char *name);
void bench_expect_near(struct bench *b, const struct tensor *t, enum bound bound, const char *name, double floor);
/* Where a result of 16 bits may have been rounded `times` times on its way. */
void bench_expect_rounded(struct bench *b, const struct tensor *t, enum bound bound, const char *name, int times);
/* Sums over rows of values that are written in E, too, and may be added before or after they are rounded. */
void bench_expect_sums(struct bench *b, const struct tensor *t, enum bound bound, const char *name, double floor);
/* Element (0, j) against a number. */
void bench_expect_point(struct bench *b, const struct tensor *t, int64_t j, double want, enum bound bound, const char *name,
                        double floor);
void bench_expect_number(struct bench *b, double got, double want, enum bound bound, const char *name, double floor);
double tensor_norm(const struct tensor *t); /* L2, of the reference's values */
double tensor_got(const struct tensor *t, int64_t i, int64_t j); /* what the first run left */

/* Standard normal number `index` of stream `stream`, the same in every run. */
double bench_normal(uint32_t stream, uint32_t index);
/* Below n. */
uint32_t bench_below(uint32_t stream, uint32_t index, uint32_t n);

#endif
