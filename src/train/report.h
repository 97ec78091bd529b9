/* What a person sees while a model trains: lines on standard output, by rank 0. May include: base, train. */
#ifndef SP_TRAIN_REPORT_H
#define SP_TRAIN_REPORT_H

#include "train/evaluate.h"

#include <stdint.h>
#include <stdio.h>

struct sp_report {
	FILE *file;   /* NULL: silent */
	int terminal; /* progress and time left are shown */
	int64_t iters, interval, first; /* first: steps done before this run */
	double started;
	/* since the last line */
	double loss, tokens, places, seconds, gemm_seconds; /* the last: what the work would take at the GEMM rate */
	int64_t steps, skipped;
};

struct sp_report_step {
	int64_t step; /* from 1 */
	double loss, lr, grad_norm, seconds, gemm_fraction;
	int64_t tokens, places; /* of the sequences' places some hold padding */
	double loss_scale;      /* 0: is not shown */
	int skipped;            /* gradients were not finite; grad_norm is not either */
};

void sp_report_open(struct sp_report *report, FILE *file, int64_t iters, int64_t interval);
/* Prints a line every `interval` steps and after the last: means since the line before. SP_ERR_IO, logged. */
int sp_report_step(struct sp_report *report, const struct sp_report_step *step);
int sp_report_evaluation(struct sp_report *report, int64_t step, const struct sp_evaluation *evaluation);
/* A line of words. */
int sp_report_line(struct sp_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
