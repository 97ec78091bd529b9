/* A golden file, and the model it describes with its batch and initial values. May include: model, backend, cmocka. */
#ifndef TESTS_GOLDEN_FIXTURE_H
#define TESTS_GOLDEN_FIXTURE_H

#include "golden/records.h"
#include "golden/harness.h"

struct fixture {
	struct records golden;
	struct harness h;
};

/* tests/golden/NAME.golden below $srcdir. All zero on entry; asserts. */
void fixture_open(struct fixture *f, const char *name, const char *attention);
void fixture_close(struct fixture *f);

/* The record "WHAT:NAME" of a parameter, of the parameter's size. */
const float *fixture_expected(const struct fixture *f, const char *what, const struct sp_parameter *p);
/* A record of one number a step. */
double fixture_number(const struct fixture *f, const char *record, int step);
/* Asserts that `found` is within `bound`, relative, of the number that the record has for that step. */
void fixture_check(const struct fixture *f, const char *record, int step, double found, double bound);
/* |a - b|, and |b - from| (from NULL: |b|) in *size. */
double fixture_distance(const float *a, const float *b, const float *from, int64_t n, double *size);

#endif
