#include "config.h"

#include "model/inside.h"

#include "base/log.h"

#include <stdlib.h>

/* Lays everything out without memory, to learn how much is needed. */
static int count(struct sp_model *m, int ranks)
{
	struct sp_arena counting = { 0 };
	int rc = sp_model_lay(m, &counting, ranks);
	sp_model_unlay(m);
	m->memory.parameters = (size_t)m->parameters.elements * sizeof(float);
	m->memory.factors = m->options.element == SP_F32 ? 0 : (size_t)m->parameters.factors * sp_dtype_size(m->options.element);
	m->memory.gradients = m->options.forward_only ? 0 : m->memory.parameters;
	return rc;
}

int sp_model_memory(const struct sp_model_options *options, int ranks, struct sp_model_memory *memory)
{
	struct sp_model m = { 0 };
	int rc = sp_model_prepare(&m, options);
	if (rc == SP_OK) {
		m.options.sequence = NULL;
		rc = count(&m, ranks);
	}
	if (rc == SP_OK)
		*memory = m.memory;
	sp_model_discard(&m);
	return rc;
}

static int allocate(struct sp_model *m)
{
	struct sp_compute *c = m->compute;
	enum { VALUES, GRADIENTS, FACTORS, ARENA, SUMS, BLOCKS };
	const struct sp_model_memory *need = &m->memory;
	void *memory[BLOCKS] = { 0 };
	const size_t bytes[BLOCKS] = { need->parameters, need->gradients, need->factors, need->arena, sizeof *m->sums };
	const int absent[BLOCKS] = { [GRADIENTS] = m->options.forward_only, [FACTORS] = need->factors == 0 };
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < BLOCKS; i++)
		if (!absent[i])
			rc = sp_compute_alloc(c, bytes[i], &memory[i]);
	m->values = memory[VALUES];
	m->gradients = memory[GRADIENTS];
	m->factors = memory[FACTORS];
	m->arena.base = memory[ARENA];
	m->arena.size = need->arena;
	m->sums = memory[SUMS];
	return rc;
}

/* 0, 1, 2, ...: the rows that tensor ranks have looked up together, as ids. */
static int number_rows(struct sp_model *m)
{
	const int64_t rows = m->options.batch * m->options.chunk;
	void *device;
	if (sp_model_tensors(m) == 1 || !sp_part_is_first(&m->options.part))
		return SP_OK;
	sp_compute_free(m->compute, (void *)m->words.identity);
	m->words.identity = NULL;
	int rc = sp_compute_alloc(m->compute, (size_t)rows * sizeof(int32_t), &device);
	if (rc)
		return rc;
	m->words.identity = device;
	int32_t *host = malloc((size_t)rows * sizeof *host + 1);
	if (!host)
		return sp_fail(SP_ERR_MEMORY, "no memory for %lld row numbers", (long long)rows);
	for (int64_t i = 0; i < rows; i++)
		host[i] = (int32_t)i;
	rc = sp_compute_copy_in(m->compute, device, host, (size_t)rows * sizeof *host);
	free(host);
	return rc;
}

static int zero_sums(struct sp_model *m, int gradients)
{
	int rc = sp_compute_zero(m->compute, m->sums, sizeof *m->sums);
	return rc || !gradients ? rc : sp_compute_zero(m->compute, m->gradients, m->memory.gradients);
}

int sp_model_create(struct sp_compute *compute, const struct sp_model_options *options, struct sp_model **model)
{
	struct sp_model *m = calloc(1, sizeof *m);
	if (!m)
		return sp_fail(SP_ERR_MEMORY, "no memory for a model of %zu bytes", sizeof *m);
	const int ranks = options->sequence ? sp_comm_size(options->sequence) : 1;
	m->compute = m->attention.compute = compute;
	int rc = sp_model_prepare(m, options);
	if (rc == SP_OK)
		rc = count(m, ranks);
	if (rc == SP_OK)
		rc = allocate(m);
	if (rc == SP_OK) {
		sp_model_bind(m);
		rc = sp_model_lay(m, &m->arena, ranks);
	}
	if (rc == SP_OK)
		rc = number_rows(m);
	if (rc == SP_OK)
		rc = sp_model_repeated_open(m);
	if (rc == SP_OK)
		rc = zero_sums(m, 1);
	if (rc) {
		sp_model_destroy(m);
		return rc;
	}
	*model = m;
	return SP_OK;
}

void sp_model_destroy(struct sp_model *m)
{
	if (!m)
		return;
	sp_model_repeated_close(m);
	sp_model_unlay(m); /* what other ranks see of the arena */
	sp_compute_free(m->compute, m->values);
	sp_compute_free(m->compute, m->gradients);
	sp_compute_free(m->compute, m->factors);
	sp_compute_free(m->compute, m->arena.base);
	sp_compute_free(m->compute, m->sums);
	sp_compute_free(m->compute, (void *)m->words.identity);
	sp_model_discard(m);
	free(m);
}

static int grow_arena(struct sp_model *m)
{
	void *memory;
	if (m->memory.arena <= m->arena.size)
		return SP_OK;
	sp_compute_free(m->compute, m->arena.base);
	m->arena.base = NULL;
	int rc = sp_compute_alloc(m->compute, m->memory.arena, &memory);
	if (rc)
		return rc;
	m->arena.base = memory;
	m->arena.size = m->memory.arena;
	return SP_OK;
}

int sp_model_reshape(struct sp_model *m, int64_t batch, int64_t chunk, const struct sp_attention_variant *attention,
                     struct sp_comm *sequence)
{
	const int ranks = sequence ? sp_comm_size(sequence) : 1;
	if (!m->options.forward_only)
		return sp_fail(SP_ERR_ARGUMENT, "only a forward-only model can be given another shape");
	sp_model_unlay(m);
	m->options.batch = batch;
	m->options.chunk = chunk;
	m->options.attention = m->attention.variant = attention;
	m->options.sequence = sequence;
	int rc = count(m, ranks);
	if (rc == SP_OK)
		rc = grow_arena(m);
	m->arena.high = 0;
	if (rc == SP_OK)
		rc = sp_model_lay(m, &m->arena, ranks);
	return rc ? rc : number_rows(m);
}

const struct sp_parameters *sp_model_parameters(const struct sp_model *m)
{
	return &m->parameters;
}

float *sp_model_values(struct sp_model *m)
{
	return m->values;
}

float *sp_model_gradients(struct sp_model *m)
{
	return m->gradients;
}

struct sp_layer_range sp_model_layers(const struct sp_model *m, int piece)
{
	return m->piece[piece].layers;
}

const struct sp_arena *sp_model_arena(const struct sp_model *m)
{
	return &m->arena;
}

int sp_model_sums(struct sp_model *m, struct sp_model_sums *sums)
{
	struct sp_model_device_sums host;
	int rc = sp_compute_copy_out(m->compute, &host, m->sums, sizeof host);
	if (rc)
		return rc;
	sums->mlm = host.mlm;
	sums->order = host.order;
	sums->correct = host.correct;
	sums->ordered = host.ordered;
	return SP_OK;
}

static int copy_factor(struct sp_model *m, const struct sp_parameter *p)
{
	const enum sp_dtype element = m->options.element;
	char *const to = (char *)m->factors + (size_t)p->factor * sp_dtype_size(element);
	return sp_compute_convert(m->compute, sp_matrix(m->values + p->offset, p->rows, p->cols),
	                          sp_matrix_of(to, p->rows, p->cols, element));
}

static int copy_factors(struct sp_model *m)
{
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && m->factors && i < m->parameters.count; i++)
		if (m->parameters.entry[i].factor >= 0)
			rc = copy_factor(m, &m->parameters.entry[i]);
	return rc;
}

int sp_model_reset(struct sp_model *m, int gradients)
{
	int rc = zero_sums(m, gradients);
	return rc ? rc : copy_factors(m);
}
