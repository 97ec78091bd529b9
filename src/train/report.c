#include "config.h"

#include "train/report.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void sp_report_open(struct sp_report *r, FILE *file, int64_t iters, int64_t interval)
{
	*r = (struct sp_report){ .file = file, .iters = iters, .interval = interval, .started = sp_clock() };
	r->terminal = file && isatty(fileno(file));
}

static int flush(struct sp_report *r)
{
	if (!r->file || (fflush(r->file) == 0 && !ferror(r->file)))
		return SP_OK;
	return sp_fail(SP_ERR_IO, "standard output cannot be written: %s", strerror(errno));
}

int sp_report_line(struct sp_report *r, const char *format, ...)
{
	if (!r->file)
		return SP_OK;
	va_list args;
	va_start(args, format);
	vfprintf(r->file, format, args);
	va_end(args);
	fputc('\n', r->file);
	return flush(r);
}

/* Words for how much is done and how long the rest takes at the mean speed so far. */
static void progress(const struct sp_report *r, int64_t step, char *text, size_t size)
{
	double left = (sp_clock() - r->started) / (double)(step - r->first) * (double)(r->iters - step);
	int64_t s = (int64_t)(left + 0.5);
	text[0] = 0;
	if (r->terminal)
		snprintf(text, size, "  %3.0f %%  %lld:%02lld:%02lld left", 100.0 * (double)step / (double)r->iters,
		         (long long)(s / 3600), (long long)(s / 60 % 60), (long long)(s % 60));
}

/* Of fp16: what the loss is multiplied by, and how many steps were left out. */
static void scaling(const struct sp_report *r, const struct sp_report_step *step, char *text, size_t size)
{
	text[0] = 0;
	if (step->loss_scale > 0 && r->skipped)
		snprintf(text, size, "  loss scale %g, %lld skipped", step->loss_scale, (long long)r->skipped);
	else if (step->loss_scale > 0)
		snprintf(text, size, "  loss scale %g", step->loss_scale);
}

int sp_report_step(struct sp_report *r, const struct sp_report_step *step)
{
	char left[64], scale[64];
	r->loss += step->loss;
	r->tokens += (double)step->tokens;
	r->places += (double)step->places;
	r->seconds += step->seconds;
	r->gemm_seconds += step->gemm_fraction * step->seconds;
	r->steps++;
	r->skipped += step->skipped;
	if (step->step % r->interval != 0 && step->step != r->iters)
		return SP_OK;
	progress(r, step->step, left, sizeof left);
	scaling(r, step, scale, sizeof scale);
	int status = sp_report_line(
		r, "step %lld/%lld  loss %.6f  lr %.3e  grad_norm %.4f  %.0f tokens/s  fill %.1f %%  %.1f ms  gemm %.1f %%%s%s",
		(long long)step->step, (long long)r->iters, r->loss / (double)r->steps, step->lr, step->grad_norm,
		r->tokens / r->seconds, 100 * r->tokens / r->places, 1e3 * r->seconds / (double)r->steps, 100 * r->gemm_seconds / r->seconds, scale, left);
	r->loss = r->tokens = r->places = r->seconds = r->gemm_seconds = 0;
	r->steps = r->skipped = 0;
	return status;
}

int sp_report_evaluation(struct sp_report *r, int64_t step, const struct sp_evaluation *e)
{
	return sp_report_line(r, "eval %lld/%lld  loss %.6f  perplexity %.2f  accuracy %.4f  (%lld tokens)",
	                      (long long)step, (long long)r->iters, e->loss, e->perplexity, e->accuracy,
	                      (long long)e->predicted);
}
