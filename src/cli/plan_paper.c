#include "config.h"

#include "cli/plan_paper.h"

#include "base/log.h"
#include "base/size.h"
#include "plan/paper.h"

#include <stdio.h>

static void print_row(const char *name, const int64_t need[SP_PAPER_SCHEMES], int64_t crossover, const char *formula)
{
	printf("%-34s %16lld %16lld", name, (long long)need[SP_PAPER_TENSOR], (long long)need[SP_PAPER_SEQUENCE]);
	if (crossover)
		printf("   %lld tokens%s", (long long)crossover, formula);
	putchar('\n');
}

static void print_tables(const struct sp_paper_shape *s)
{
	static const char *const names[] = { "MLP block (Table 1)", "attention block (Table 2)" };
	char formula[SP_PAPER_BLOCKS][64];
	int64_t whole[SP_PAPER_SCHEMES] = { 0 };
	const int64_t scores[SP_PAPER_SCHEMES] = { sp_paper_scores(s), sp_paper_scores(s) };
	snprintf(formula[SP_PAPER_MLP], sizeof *formula, ", above 32 H = %lld", (long long)(32 * s->hidden));
	snprintf(formula[SP_PAPER_ATTENTION], sizeof *formula, ", above 16 A Z = %lld", (long long)(16 * s->head_dim * s->heads));
	for (int block = 0; block < SP_PAPER_BLOCKS; block++) {
		int64_t need[SP_PAPER_SCHEMES];
		for (int scheme = 0; scheme < SP_PAPER_SCHEMES; scheme++) {
			need[scheme] = sp_paper_elements(s, (enum sp_paper_block)block, (enum sp_paper_scheme)scheme);
			whole[scheme] += need[scheme];
		}
		print_row(names[block], need, sp_paper_crossover(s, (enum sp_paper_block)block), formula[block]);
	}
	print_row("both", whole, 0, "");
	print_row("  of it scores", scores, 0, "");
}

static struct sp_paper_shape shape_of(const struct sp_plan_input *input, int ranks)
{
	const struct sp_model_config *c = &input->model.config;
	return (struct sp_paper_shape){ input->model.batch, input->length, c->hidden, c->heads, c->hidden / c->heads, ranks };
}

int sp_cli_plan_paper(const struct sp_plan_input *input, int ranks)
{
	const struct sp_paper_shape shape = shape_of(input, ranks);
	int64_t own[SP_PAPER_SCHEMES], crossover;
	if (ranks < 2)
		return sp_fail(SP_ERR_SETTING, "--paper compares ways to share a layer: it wants -n RANKS, two or more");
	int status = sp_paper_own_layer(input, ranks, SP_PAPER_TENSOR, &own[SP_PAPER_TENSOR]);
	if (!status)
		status = sp_paper_own_layer(input, ranks, SP_PAPER_SEQUENCE, &own[SP_PAPER_SEQUENCE]);
	if (!status)
		status = sp_paper_own_crossover(input, ranks, &crossover);
	if (status)
		return status;
	printf("One layer on each of %d ranks, in elements: B = %lld sequences of L = %lld tokens, H = %lld, Z = %lld heads of\n"
	       "A = %lld; weights with gradients and Adam's moments, and what forward keeps for backward.\n\n",
	       ranks, (long long)shape.batch, (long long)shape.length, (long long)shape.hidden, (long long)shape.heads,
	       (long long)shape.head_dim);
	printf("%-34s %16s %16s   sequence ranks need less from\n", "Li et al. 2021, scores kept", "tensor ranks", "sequence ranks");
	print_tables(&shape);
	printf("\nseqpar, as laid out, no scores\n");
	print_row("layer", own, crossover, "");
	return SP_OK;
}

static void print_most(const char *name, int64_t batch, int64_t length)
{
	printf("%-34s %16lld %16lld\n", name, (long long)batch, (long long)length);
}

int sp_cli_plan_paper_fitting(const struct sp_plan_input *input, int ranks, int64_t stages, size_t memory)
{
	const struct sp_paper_shape shape = shape_of(input, ranks);
	const int64_t layers = sp_ceil_div(input->model.config.layers, stages);
	const char *const names[] = { [SP_PAPER_TENSOR] = "tensor ranks", [SP_PAPER_SEQUENCE] = "sequence ranks" };
	printf("%lld layers on each of %d ranks by Tables 1 and 2 of Li et al. 2021, 4 bytes an element, no embeddings and no heads.\n"
	       "The most sequences of %lld tokens, and the most tokens of %lld sequences:\n\n", (long long)layers, ranks,
	       (long long)shape.length, (long long)shape.batch);
	printf("%-34s %16s %16s\n", "", "sequences", "tokens");
	for (int scheme = 0; scheme < SP_PAPER_SCHEMES; scheme++)
		if (scheme == SP_PAPER_TENSOR && shape.heads % ranks != 0)
			printf("%-34s none: %d ranks do not divide %lld heads\n", names[scheme], ranks, (long long)shape.heads);
		else
			print_most(names[scheme], sp_paper_largest_batch(&shape, layers, memory, (enum sp_paper_scheme)scheme),
			           sp_paper_longest(&shape, layers, memory, (enum sp_paper_scheme)scheme));
	return SP_OK;
}
