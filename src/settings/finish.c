/* What follows from other settings, and what contradicts them. */
#include "config.h"

#include "base/log.h"
#include "settings/settings.h"

#include <string.h>

/* Turc et al. 2019, "Well-read students learn better" (the small sizes), Devlin et al. 2018 (base, large). */
static const struct {
	const char *name;
	int64_t layers, hidden;
} presets[] = {
	{ "tiny", 2, 128 },   { "mini", 4, 256 },  { "small", 4, 512 },
	{ "medium", 8, 512 }, { "base", 12, 768 }, { "large", 24, 1024 },
};

void sp_settings_preset(const char *name, int64_t *layers, int64_t *hidden)
{
	for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
		if (strcmp(presets[i].name, name) == 0) {
			*layers = presets[i].layers;
			*hidden = presets[i].hidden;
		}
}

static void apply_preset(struct sp_settings *s)
{
	int64_t layers = 0, hidden = 0;
	sp_settings_preset(s->model.preset, &layers, &hidden);
	s->model.layers = s->model.layers ? s->model.layers : layers;
	s->model.hidden = s->model.hidden ? s->model.hidden : hidden;
	if (!s->model.heads)
		s->model.heads = s->model.hidden / 64 > 0 ? s->model.hidden / 64 : 1;
	if (!s->model.intermediate)
		s->model.intermediate = 4 * s->model.hidden;
}

static int check_model(const struct sp_settings *s)
{
	if (s->model.hidden % s->model.heads != 0)
		return sp_fail(SP_ERR_SETTING,
		               "model.heads = %lld does not divide model.hidden = %lld; give model.heads a divisor of it",
		               (long long)s->model.heads, (long long)s->model.hidden);
	if (s->model.heads % s->parallel.tensor != 0)
		return sp_fail(SP_ERR_SETTING,
		               "parallel.tensor = %lld does not divide model.heads = %lld; tensor ranks hold whole heads",
		               (long long)s->parallel.tensor, (long long)s->model.heads);
	const int rope = s->model.position == SP_POSITION_ROPE;
	if (rope && s->model.hidden / s->model.heads % 2 != 0)
		return sp_fail(SP_ERR_SETTING, "model.position = rope turns pairs of columns, but heads have %lld (model.hidden / "
		               "model.heads); choose an even number", (long long)(s->model.hidden / s->model.heads));
	if (s->train.sequence_length > s->model.max_positions && !s->data.packing && !rope)
		return sp_fail(
			SP_ERR_SETTING,
			"train.sequence_length = %lld is longer than model.max_positions = %lld; raise model.max_positions, "
			"shorten the sequence, let it hold several samples with data.packing, or take model.position = rope",
			(long long)s->train.sequence_length, (long long)s->model.max_positions);
	return SP_OK;
}

static int check_stages(const struct sp_settings *s)
{
	const int64_t stages = s->parallel.pipeline, runs = s->parallel.virtual_stages;
	if (stages == 1 && runs > 1)
		return sp_fail(SP_ERR_SETTING,
		               "parallel.virtual_stages = %lld wants a pipeline: set parallel.pipeline to 2 or more",
		               (long long)runs);
	if (stages > s->model.layers)
		return sp_fail(SP_ERR_SETTING,
		               "parallel.pipeline = %lld is more than model.layers = %lld; every stage needs a layer",
		               (long long)stages, (long long)s->model.layers);
	if (runs > 1 && s->model.layers % (stages * runs) != 0)
		return sp_fail(SP_ERR_SETTING,
		               "parallel.pipeline x parallel.virtual_stages = %lld x %lld = %lld does not divide model.layers = %lld; "
		               "runs of layers are of equal length",
		               (long long)stages, (long long)runs, (long long)(stages * runs), (long long)s->model.layers);
	return SP_OK;
}

static int check_training(const struct sp_settings *s)
{
	if (s->train.global_batch % s->train.micro_batch != 0)
		return sp_fail(SP_ERR_SETTING, "train.micro_batch = %lld does not divide train.global_batch = %lld",
		               (long long)s->train.micro_batch, (long long)s->train.global_batch);
	if (s->optimizer.min_lr > s->optimizer.lr)
		return sp_fail(SP_ERR_SETTING, "optimizer.min_lr = %g is above optimizer.lr = %g", s->optimizer.min_lr,
		               s->optimizer.lr);
	return SP_OK;
}

static int check_data(const struct sp_settings *s)
{
	int synthetic = strcmp(s->data.source, "synthetic") == 0;
	if (s->data.source[0] == 0)
		return sp_fail(SP_ERR_SETTING,
		               "data.source is empty; give synthetic or the PREFIX of PREFIX.bin and PREFIX.idx");
	if (!synthetic && s->data.vocab[0] == 0)
		return sp_fail(SP_ERR_SETTING,
		               "data.source = %s needs data.vocab, the vocabulary file its tokens were made with",
		               s->data.source);
	return SP_OK;
}

static int check_checkpoint(const struct sp_settings *s)
{
	if (s->checkpoint.interval > 0 && !s->checkpoint.dir[0])
		return sp_fail(SP_ERR_SETTING, "checkpoint.interval = %lld needs checkpoint.dir, where to save to",
		               (long long)s->checkpoint.interval);
	if (s->model.extend_positions != SP_POSITIONS_NO && s->model.position == SP_POSITION_ROPE)
		return sp_fail(SP_ERR_SETTING,
		               "model.extend_positions extends a table of positions, which model.position = rope does not have");
	if (s->model.extend_positions != SP_POSITIONS_NO && !s->checkpoint.init[0])
		return sp_fail(SP_ERR_SETTING,
		               "model.extend_positions extends the position table of a given model: it needs checkpoint.init");
	return SP_OK;
}

int64_t sp_settings_model_ranks(const struct sp_settings *s)
{
	int64_t ranks;
	if (__builtin_mul_overflow(s->parallel.sequence * s->parallel.tensor, s->parallel.pipeline, &ranks))
		return INT64_MAX; /* 2^20 and 2^16 are the most of the first two */
	return ranks;
}

int sp_settings_finish(struct sp_settings *s)
{
	apply_preset(s);
	if (s->optimizer.decay_iters == 0)
		s->optimizer.decay_iters = s->train.iters;
	int status = check_model(s);
	if (!status)
		status = check_stages(s);
	if (!status)
		status = check_training(s);
	if (!status)
		status = check_data(s);
	if (!status)
		status = check_checkpoint(s);
	return status;
}
