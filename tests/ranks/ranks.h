/* What programs that run under several ranks share: the communicators, and agreeing on a verdict. Nothing is asserted
 * between collectives: each rank notes what it saw, the verdict is agreed on a communicator of its own, and then all ranks
 * assert the same. May include: backend. */
#ifndef SP_TESTS_RANKS_H
#define SP_TESTS_RANKS_H

#include "backend/comm.h"
#include "backend/compute.h"

struct test_ranks {
	struct sp_comm *world;    /* what is tested */
	struct sp_comm *verdicts; /* only for agreeing */
	struct sp_comm *alone;    /* this rank by itself */
	struct sp_compute *compute;
	int rank, size;
};

/* Opens all of it. Returns 0, or what main() shall return: 77 if there is no MPI module here, 1 on failure. Output of all
 * ranks but the first goes nowhere. */
int test_ranks_open(struct test_ranks *t);
void test_ranks_close(struct test_ranks *t);
/* The device that SEQPAR_TEST_DEVICE names, else cudasim, with t->world bound to it; nonzero on all ranks if one fails. */
int test_ranks_device(const struct test_ranks *t, struct sp_compute **device);
const char *test_ranks_device_name(void);
/* The module of `world`: what SEQPAR_TEST_COMM says, else mpi. */
const char *test_ranks_comm(void);
/* Nonzero on all ranks if `bad` is nonzero on any. */
int test_ranks_agree(const struct test_ranks *t, int bad);

/* |x - y|, |y| in L2. */
struct test_norms {
	double difference, reference;
};
struct test_norms test_ranks_compare(const float *x, const float *y, int64_t n);

#endif
