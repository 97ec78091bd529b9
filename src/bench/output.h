/* What a benchmark writes: lines about the run, tables, a verdict; for a person, or as CSV or JSON. May include: libc.
 *
 * A person's and CSV's tables have a row of names, a row of units, then rows of results; lines that begin with # are about
 * the run. JSON is one object, written at the end: about, tables, wrong, verdict. */
#ifndef SP_BENCH_OUTPUT_H
#define SP_BENCH_OUTPUT_H

#include <stdio.h>

enum sp_bench_format { SP_BENCH_TEXT = 0, SP_BENCH_CSV, SP_BENCH_JSON };

enum { SP_BENCH_WORDS = -1, SP_BENCH_TINY = -2 };

struct sp_bench_column {
	const char *name, *unit; /* unit "": none */
	int width;               /* of the text form */
	int digits;              /* behind the point; SP_BENCH_WORDS: the column holds words; SP_BENCH_TINY: as 1.2e-07 */
};

/* A word, or a number if text is NULL; a number that is not finite is shown as "-", null in JSON. */
struct sp_bench_cell {
	const char *text;
	double number;
};

static inline struct sp_bench_cell sp_bench_text(const char *text)
{
	struct sp_bench_cell cell = { text, 0 };
	return cell;
}

static inline struct sp_bench_cell sp_bench_number(double number)
{
	struct sp_bench_cell cell = { NULL, number };
	return cell;
}

struct sp_bench_output;

/* file: NULL: nothing is written (ranks but the first). SP_ERR_MEMORY, logged. */
int sp_bench_output_open(FILE *file, enum sp_bench_format format, const char *command, struct sp_bench_output **output);

/* A line about the run: its name and what it is. */
void sp_bench_about(struct sp_bench_output *o, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Begins a table. `columns` is kept until the next one, and ends with a name that is NULL. */
void sp_bench_table(struct sp_bench_output *o, const char *name, const struct sp_bench_column *columns);

/* A row of the table: as many cells as it has columns. */
void sp_bench_row(struct sp_bench_output *o, const struct sp_bench_cell *cells);

/* Counts a result that was checked: is `error` within `bound`? What is not a number is not. Returns whether it is; if not,
 * says so under the row. */
int sp_bench_verdict(struct sp_bench_output *o, const char *what, double error, double bound);

/* Writes the verdict and releases the output, whatever it returns. SP_ERR_NUMERIC, logged, if a result was wrong;
 * SP_ERR_IO, SP_ERR_MEMORY, logged, if not all could be written. NULL accepted. */
int sp_bench_output_close(struct sp_bench_output *o);

/* Releases an output without a verdict, after an error. NULL accepted. */
void sp_bench_output_drop(struct sp_bench_output *o);

#endif
