#include "config.h"

#include "bench/output.h"

#include "base/log.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct sp_bench_output {
	FILE *file;
	enum sp_bench_format format;
	const struct sp_bench_column *columns;
	int checked, wrong;
	int short_of_memory;
	/* JSON */
	json_t *root, *about, *tables, *rows, *complaints;
};

/* Takes `value` over. */
static void put(struct sp_bench_output *o, json_t *object, const char *name, json_t *value)
{
	o->short_of_memory |= json_object_set_new(object, name, value) != 0;
}

static void append(struct sp_bench_output *o, json_t *array, json_t *value)
{
	o->short_of_memory |= json_array_append_new(array, value) != 0;
}

int sp_bench_output_open(FILE *file, enum sp_bench_format format, const char *command, struct sp_bench_output **output)
{
	struct sp_bench_output *o = calloc(1, sizeof *o);
	if (!o)
		return sp_fail(SP_ERR_MEMORY, "out of memory for a table");
	o->file = file;
	o->format = format;
	if (format == SP_BENCH_JSON) {
		o->root = json_object();
		put(o, o->root, "command", json_string(command));
		put(o, o->root, "about", o->about = json_object());
		put(o, o->root, "tables", o->tables = json_array());
		put(o, o->root, "wrong", o->complaints = json_array());
	} else if (file) {
		fprintf(file, "# seqpar %s\n", command);
	}
	if (o->short_of_memory) {
		sp_bench_output_drop(o);
		return sp_fail(SP_ERR_MEMORY, "out of memory for a table");
	}
	*output = o;
	return SP_OK;
}

void sp_bench_about(struct sp_bench_output *o, const char *name, const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (o->format == SP_BENCH_JSON)
		put(o, o->about, name, json_string(text));
	else if (o->file)
		fprintf(o->file, "# %s: %s\n", name, text);
}

/* ---- tables ---- */

static void print_csv(FILE *file, const char *text, int first)
{
	fputs(first ? "" : ",", file);
	if (!strpbrk(text, ",\"")) {
		fputs(text, file);
		return;
	}
	fputc('"', file);
	for (; *text; text++)
		fprintf(file, *text == '"' ? "\"%c" : "%c", *text);
	fputc('"', file);
}

/* Words to the left, numbers to the right; the first column leaves room for the # of the head. */
static void print_text(FILE *file, const struct sp_bench_column *column, const char *text, int first, char lead)
{
	if (first)
		fprintf(file, "%c ", lead);
	fprintf(file, column->digits == SP_BENCH_WORDS ? "%s%-*s" : "%s%*s", first ? "" : " ", column->width, text);
}

static void print(struct sp_bench_output *o, const struct sp_bench_column *column, const char *text, char lead)
{
	const int first = column == o->columns;
	if (o->format == SP_BENCH_CSV)
		print_csv(o->file, text, first);
	else
		print_text(o->file, column, text, first, lead);
}

void sp_bench_table(struct sp_bench_output *o, const char *name, const struct sp_bench_column *columns)
{
	o->columns = columns;
	if (o->format == SP_BENCH_JSON) {
		json_t *table = json_object(), *units = json_object();
		put(o, table, "name", json_string(name));
		for (const struct sp_bench_column *c = columns; c->name; c++)
			put(o, units, c->name, json_string(c->unit));
		put(o, table, "units", units);
		put(o, table, "rows", o->rows = json_array());
		append(o, o->tables, table);
	} else if (o->file) {
		fprintf(o->file, "#\n# %s\n", name);
		for (const struct sp_bench_column *c = columns; c->name; c++)
			print(o, c, c->name, '#');
		fputc('\n', o->file);
		for (const struct sp_bench_column *c = columns; c->name; c++)
			print(o, c, c->unit, '#');
		fputc('\n', o->file);
		fflush(o->file);
	}
}

static json_t *value_of(const struct sp_bench_cell *cell)
{
	return cell->text ? json_string(cell->text) : isfinite(cell->number) ? json_real(cell->number) : json_null();
}

static const char *words_of(const struct sp_bench_column *column, const struct sp_bench_cell *cell, char text[64])
{
	if (cell->text)
		return cell->text;
	const int tiny = column->digits == SP_BENCH_TINY;
	if (!isfinite(cell->number))
		return "-";
	snprintf(text, 64, tiny ? "%.*e" : "%.*f", tiny ? 1 : column->digits, cell->number);
	return text;
}

void sp_bench_row(struct sp_bench_output *o, const struct sp_bench_cell *cells)
{
	json_t *row = o->format == SP_BENCH_JSON ? json_object() : NULL;
	char text[64];
	for (int i = 0; o->columns[i].name; i++)
		if (row)
			put(o, row, o->columns[i].name, value_of(&cells[i]));
		else if (o->file)
			print(o, &o->columns[i], words_of(&o->columns[i], &cells[i], text), ' ');
	if (row)
		append(o, o->rows, row);
	else if (o->file)
		fputc('\n', o->file);
	if (o->file && !row)
		fflush(o->file);
}

/* ---- the verdict ---- */

int sp_bench_verdict(struct sp_bench_output *o, const char *what, double error, double bound)
{
	char text[512];
	const int right = error <= bound;
	o->checked++;
	if (right)
		return 1;
	o->wrong++;
	snprintf(text, sizeof text, "%s is off by %.3g, the bound is %.3g", what, error, bound);
	if (o->format == SP_BENCH_JSON)
		append(o, o->complaints, json_string(text));
	else if (o->file)
		fprintf(o->file, "# WRONG: %s\n", text);
	return 0;
}

static void write_json(struct sp_bench_output *o)
{
	put(o, o->root, "results_checked", json_integer(o->checked));
	put(o, o->root, "verdict", json_string(o->wrong ? "wrong" : "right"));
	if (o->file && json_dumpf(o->root, o->file, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) != 0)
		o->short_of_memory = 1;
	if (o->file)
		fputc('\n', o->file);
}

static void write_verdict(const struct sp_bench_output *o)
{
	if (o->wrong)
		fprintf(o->file, "#\n# WRONG: %d of %d checked results; the times mean nothing\n", o->wrong, o->checked);
	else
		fprintf(o->file, "#\n# right: all %d checked results\n", o->checked);
}

int sp_bench_output_close(struct sp_bench_output *o)
{
	if (!o)
		return SP_OK;
	int status = SP_OK;
	if (o->format == SP_BENCH_JSON)
		write_json(o);
	else if (o->file)
		write_verdict(o);
	if (o->short_of_memory)
		status = sp_fail(SP_ERR_MEMORY, "out of memory for a table");
	else if (o->file && (fflush(o->file) != 0 || ferror(o->file)))
		status = sp_fail(SP_ERR_IO, "the results cannot be written");
	else if (o->wrong)
		status = sp_fail(SP_ERR_NUMERIC, "%d of %d checked results are wrong", o->wrong, o->checked);
	sp_bench_output_drop(o);
	return status;
}

void sp_bench_output_drop(struct sp_bench_output *o)
{
	if (o)
		json_decref(o->root);
	free(o);
}
