/* Logits of a model directory, for comparison with another program's. usage: logits DIR <TOKENS >LOGITS
 *
 * TOKENS: lines "id kind", one sequence. LOGITS: float32, tokens x vocabulary of the masked-language-model head, then,
 * if the model has one, the two log-probabilities of the sentence-order head. */
#include "config.h"

#include "backend/comm.h"
#include "base/log.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/weights.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

enum { LONGEST = 1 << 16 };

/* Everything a batch of one sequence points to. */
struct arrays {
	int32_t token[LONGEST], kind[LONGEST], position[LONGEST], doc[LONGEST];
	uint32_t sample;
	int32_t row, label;
};

static int64_t read_tokens(struct arrays *a)
{
	int64_t n = 0;
	while (n < LONGEST && scanf("%d %d", &a->token[n], &a->kind[n]) == 2) {
		a->position[n] = (int32_t)n;
		n++;
	}
	return n;
}

static int write_row(void *context, int64_t i, const float *logits)
{
	const int64_t *vocabulary = context;
	(void)i;
	return fwrite(logits, sizeof *logits, (size_t)*vocabulary, stdout) == (size_t)*vocabulary ? SP_OK : SP_ERR_IO;
}

static int load(const char *dir, struct sp_model *model)
{
	struct sp_weights_note note;
	struct sp_weights *weights;
	int status = sp_weights_open(dir, &weights);
	if (!status)
		status = sp_weights_fill(weights, sp_model_parameters(model), SP_EXTEND_NO, sp_model_values(model), &note);
	if (!status && note.text[0])
		fprintf(stderr, "%s\n", note.text);
	return status;
}

/* The loss of either label is minus its log-probability. */
static int write_order(struct sp_model *model, struct sp_batch *batch, struct arrays *a)
{
	const struct sp_pass pass = { 0 };
	int status = SP_OK;
	batch->orders = 1;
	batch->order_row = &a->row;
	batch->order_label = &a->label;
	for (a->label = 0; a->label < 2 && !status; a->label++) {
		struct sp_model_sums sums;
		status = sp_model_reset(model, 0);
		if (!status)
			status = sp_model_run(model, batch, &pass);
		if (!status)
			status = sp_model_sums(model, &sums);
		const float log_probability = (float)-sums.order;
		if (!status && fwrite(&log_probability, sizeof log_probability, 1, stdout) != 1)
			status = SP_ERR_IO;
	}
	return status;
}

static int write_all(struct sp_model *model, struct arrays *a, int64_t n, int64_t vocabulary, int order)
{
	static int32_t row[LONGEST];
	struct sp_batch batch = { .batch = 1, .chunk = n, .token = a->token, .position = a->position, .kind = a->kind,
		                      .doc = a->doc, .sample = &a->sample };
	struct sp_matrix hidden;
	for (int64_t i = 0; i < n; i++)
		row[i] = (int32_t)i;
	int status = sp_model_encode(model, &batch, &hidden);
	if (!status)
		status = sp_model_predict(model, row, n, write_row, &vocabulary);
	return status || !order ? status : write_order(model, &batch, a);
}

int main(int argc, char **argv)
{
	static struct arrays a;
	const struct sp_compute_options device = { 0 };
	struct sp_model_options options = { .batch = 1, .attention = sp_attention_find("full"), .forward_only = 1 };
	struct sp_compute *compute = NULL;
	struct sp_model *model = NULL;
	int status = argc == 2 ? sp_hf_config_read(argv[1], &options.config) : SP_ERR_SETTING;
	options.chunk = read_tokens(&a);
	if (!status)
		status = sp_comm_open("self", 1, &options.sequence);
	if (!status)
		status = sp_compute_open("cpu", &device, &compute);
	if (!status)
		status = sp_model_create(compute, &options, &model);
	if (!status)
		status = load(argv[1], model);
	if (!status)
		status = write_all(model, &a, options.chunk, options.config.vocab_size, options.config.sentence_order);
	sp_model_destroy(model);
	sp_compute_close(compute);
	sp_comm_close(options.sequence);
	return status || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
