/* Benchmarks of training in processes of their own, started as ranks on this machine by seqpar launch. May include: base,
 * bench, jansson. */
#ifndef SP_BENCH_CHILD_H
#define SP_BENCH_CHILD_H

#include "bench/bench.h"

#include <jansson.h>

enum { SP_BENCH_WORDS_MOST = 12 };

struct sp_bench_child {
	int64_t ranks;
	int64_t warm_up, repeats;
	int check;      /* also hold a small split step against an unsplit one */
	size_t memory;  /* bytes of data a process may have (RLIMIT_DATA); 0: as many as this one */
	char word[SP_BENCH_WORDS_MOST][96]; /* settings that come after the user's; an empty one ends them */
};

/* What came of it. */
struct sp_bench_outcome {
	int code;            /* exit status of seqpar launch */
	json_t *about, *row; /* of its output; NULL if it wrote none */
	json_t *all;
	char complaint[512]; /* the last error it logged, or "" */
};

/* Runs `seqpar launch -n RANKS -- bench train --json` with the settings of `bench` and of `child`, and waits for its end. SP_OK
 * also if it failed: *outcome says so. SP_ERR_IO, SP_ERR_MEMORY, logged, if it could not be started. */
int sp_bench_child_run(const struct sp_bench *bench, const struct sp_bench_child *child, struct sp_bench_outcome *outcome);
void sp_bench_outcome_free(struct sp_bench_outcome *outcome); /* zeroed is fine */

/* Of the row. NAN, or "", if there is none. */
double sp_bench_outcome_number(const struct sp_bench_outcome *outcome, const char *name);
const char *sp_bench_outcome_text(const struct sp_bench_outcome *outcome, const char *name);

/* SP_OK unless this is one of several ranks, which cannot start others. Logged. */
int sp_bench_child_alone(const char *command);

#endif
