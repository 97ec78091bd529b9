#include "config.h"

#include "cli/plan_table.h"

#include <stddef.h>
#include <stdio.h>

enum { COLUMNS = 6, LEFT = 36, RUNS = 12 }; /* columns beside each other, width of the names, runs of ranks that are named */

#define FIGURE(name, key, member) { name, key, offsetof(struct sp_plan, member), sizeof(((struct sp_plan *)0)->member) }

const struct sp_cli_figure sp_cli_plan_memory[] = {
	FIGURE("parameters", "parameters", model.parameters),
	FIGURE("gradients", "gradients", model.gradients),
	FIGURE("copies of weights, 16 bits", "copies", model.factors),
	FIGURE("optimizer moments", "optimizer", optimizer),
	FIGURE("activations kept for backward", "activations", model.activations),
	FIGURE("  of it from and to other stages", "stages", model.pipeline),
	FIGURE("scratch of layers, ring buffers", "scratch", model.scratch),
	FIGURE("  of it attention and ring", "attention", model.attention),
	FIGURE("prediction head, in its place", "head", model.head),
	FIGURE("arena (kept + larger of the two)", "arena", model.arena),
	FIGURE("samples of two steps", "samples", batches),
	FIGURE("snapshot for checkpoints", "snapshot", snapshot),
	FIGURE("words' gradients of other stage", "tied", tied),
	FIGURE("replicas' gradients that arrive", "sums", sums),
	FIGURE("total", "total", total),
	{ 0 },
};

const struct sp_cli_figure sp_cli_plan_traffic[] = {
	FIGURE("keys, values and their gradients", "sequence", ring_bytes),
	FIGURE("sums over tensor ranks", "tensor", tensor_bytes),
	FIGURE("gradients and parameters", "gradients", gradient_bytes),
	FIGURE("stream and gradients to stages", "stages", pipeline_bytes),
	FIGURE("gradients of the tied words", "tied", tied_bytes),
	FIGURE("total", "total", sent),
	{ 0 },
};

/* Classes are named A, B ... Z, AA, AB ... */
static const char *name_of(int class, char text[8])
{
	char *at = text + 7;
	*at = 0;
	for (int n = class + 1; n > 0 && at > text; n = (n - 1) / 26)
		*--at = (char)('A' + (n - 1) % 26);
	return at;
}

int sp_cli_plan_class(const struct sp_plan_classes *c, const struct sp_grid_point *shape, int rank)
{
	const struct sp_grid_point place = sp_grid_place(shape, rank);
	return sp_plan_class_of(c, place.at[SP_AXIS_PIPELINE], place.at[SP_AXIS_TENSOR]);
}

int sp_cli_plan_ranks(const struct sp_grid_point *shape)
{
	return shape->at[SP_AXIS_DATA] * shape->at[SP_AXIS_PIPELINE] * shape->at[SP_AXIS_SEQUENCE] * shape->at[SP_AXIS_TENSOR];
}

/* "A  ranks 0-3 8-11" */
static void print_class(const struct sp_plan_classes *c, const struct sp_grid_point *shape, int class)
{
	const int ranks = sp_cli_plan_ranks(shape);
	char name[8];
	int runs = 0;
	printf("%-4s ranks", name_of(class, name));
	for (int first = 0, end; first < ranks; first = end) {
		end = first + 1;
		if (sp_cli_plan_class(c, shape, first) != class)
			continue;
		while (end < ranks && sp_cli_plan_class(c, shape, end) == class)
			end++;
		if (runs++ == RUNS) {
			printf(" ...");
			break;
		}
		printf(end == first + 1 ? " %d" : " %d-%d", first, end - 1);
	}
	putchar('\n');
}

uint64_t sp_cli_plan_figure(const struct sp_plan *plan, const struct sp_cli_figure *figure)
{
	const char *at = (const char *)plan + figure->at;
	return figure->size == sizeof(uint64_t) ? *(const uint64_t *)at : *(const size_t *)at;
}

static void print_figure(const struct sp_plan *plan, const struct sp_cli_figure *row, int exact)
{
	const uint64_t bytes = sp_cli_plan_figure(plan, row);
	if (exact)
		printf(" %15llu", (unsigned long long)bytes);
	else
		printf(" %12.1f", (double)bytes / 1048576.0);
}

/* Classes [first, end). */
static void print_rows(const char *title, const struct sp_cli_figure *rows, const struct sp_plan_classes *c, int first,
                       int end, int exact)
{
	const char *const unit = exact ? "bytes" : "MiB";
	char name[8], head[24];
	printf("%-*s", LEFT, title);
	for (int i = first; i < end; i++) {
		snprintf(head, sizeof head, "%s, %s", name_of(i, name), unit);
		printf(" %*s", exact ? 15 : 12, c->count > 1 ? head : unit);
	}
	putchar('\n');
	for (const struct sp_cli_figure *row = rows; row->name; row++) {
		printf("%-*s", LEFT, row->name);
		for (int i = first; i < end; i++)
			print_figure(&c->plan[i], row, exact);
		putchar('\n');
	}
	putchar('\n');
}

/* "stage 0  embeddings, layers 0-2 6-8", and how long stages wait at best. */
static void print_stages(const struct sp_plan_input *input)
{
	struct sp_model_part part = input->model.part;
	const struct sp_pipeline pipeline = sp_plan_pipeline(input);
	for (part.stage = 0; part.stage < part.stages; part.stage++) {
		printf("stage %d  %slayers", part.stage, sp_part_is_first(&part) ? "embeddings, " : "");
		for (int i = 0; i < sp_part_pieces(&part); i++) {
			const struct sp_layer_range at = sp_part_layers(&part, &input->model.config, i);
			printf(at.end == at.first + 1 ? " %lld" : " %lld-%lld", (long long)at.first, (long long)at.end - 1);
		}
		puts(sp_part_is_last(&part) ? ", heads" : "");
	}
	printf("A stage waits for others %.1f %% of a step, if all take as long.\n\n", 100 * sp_pipeline_bubble(&pipeline));
}

void sp_cli_plan_table(const struct sp_plan_input *input, const struct sp_plan_classes *c, const struct sp_grid_point *shape,
                       int exact)
{
	printf("%d ranks =", sp_cli_plan_ranks(shape));
	for (int axis = 0; axis < SP_AXES; axis++)
		printf(" %s%d %s", axis ? "x " : "", shape->at[axis], sp_axis_name((enum sp_axis)axis));
	printf("\n\n");
	if (c->stages > 1)
		print_stages(input);
	for (int i = 0; i < c->count && c->count > 1; i++)
		print_class(c, shape, i);
	if (c->count > 1)
		putchar('\n');
	for (int first = 0; first < c->count; first += COLUMNS) {
		const int end = first + COLUMNS < c->count ? first + COLUMNS : c->count;
		print_rows("memory per rank", sp_cli_plan_memory, c, first, end, exact);
		print_rows("sent by each rank, per step", sp_cli_plan_traffic, c, first, end, exact);
	}
}
