/* Benchmarks of the program's own parts, each with its results checked. May include: base, settings, backend, bench.
 *
 * Every column's formula is in benchmarks/README.md. */
#ifndef SP_BENCH_BENCH_H
#define SP_BENCH_BENCH_H

#include "backend/comm.h"
#include "backend/compute.h"
#include "bench/output.h"
#include "bench/times.h"
#include "settings/settings.h"

/* Borrows everything. */
struct sp_bench {
	const struct sp_settings *settings;
	struct sp_comm *world;      /* of the benchmarks that start no ranks of their own */
	struct sp_compute *compute; /* of gemm and attention */
	struct sp_bench_output *output;
	int64_t warm_up, repeats;
	const char *only; /* rows whose name holds this word; NULL: all */
	int64_t rows;     /* gemm: rows of x; 0: tokens of a rank's micro-batch */
	int cold;         /* gemm: operands come from memory, not from caches */
	int both;         /* gemm: with each library that backend.products names, not the one that the settings do */
	size_t least_bytes, most_bytes; /* comm */
	int shares;       /* train: what a step's time goes into, too */
	int check;        /* train: hold a small split step against an unsplit one too */
	/* scaling and memory start ranks of their own, with these words of settings */
	char **words;     /* NULL ends */
	const char *file; /* -c FILE; NULL: none */
	int64_t ranks[16], rank_counts;     /* how many ranks to start */
	int64_t lengths[16], length_counts; /* memory: sequence lengths to hold against the plan */
	const char *axis;  /* scaling: sequence, data, tensor or pipeline */
	size_t memory;     /* memory: cap of each rank in bytes; 0: no search */
	int64_t multiple;  /* memory: lengths tried are multiples of it */
};

/* Each fills tables of bench->output and returns SP_OK or what went wrong, logged; results that are wrong only count in the
 * output's verdict. Collective over bench->world where that is set. */
int sp_bench_gemm(struct sp_bench *bench);
int sp_bench_attention(struct sp_bench *bench);
int sp_bench_comm(struct sp_bench *bench);
int sp_bench_train(struct sp_bench *bench);
int sp_bench_scaling(struct sp_bench *bench);
int sp_bench_memory(struct sp_bench *bench);

/* Version, machine, devices and what is common to all benchmarks, as lines of the output. */
void sp_bench_about_run(struct sp_bench *bench, int argc, char **argv);

/* Whether a row of this name is wanted. */
int sp_bench_wants(const struct sp_bench *bench, const char *name);

/* How the benchmark times things. */
struct sp_bench_timing sp_bench_timing(const struct sp_bench *bench);

#endif
