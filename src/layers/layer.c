#include "config.h"

#include "layers/layer.h"

#include "base/rng.h"

#include <math.h>

void sp_layer_dropout_key(uint64_t seed, uint64_t step, int64_t layer, enum sp_dropout_site site, uint32_t key[2])
{
	sp_rng_key(seed, SP_RNG_DROPOUT, step, (uint64_t)layer * SP_SITES + site, key);
}

struct sp_dropout sp_layer_dropout(const struct sp_layer_context *ctx, int64_t layer, enum sp_dropout_site site, float p)
{
	struct sp_dropout dropout = { .keep = 65536 };
	if (!ctx->training || p <= 0)
		return dropout;
	const long keep = lround((1.0 - (double)p) * 65536.0);
	dropout.keep = keep < 1 ? 1 : (uint32_t)keep;
	if (ctx->keys)
		dropout.key_at = ctx->keys + 2 * (layer * SP_SITES + site);
	else
		sp_layer_dropout_key(ctx->seed, ctx->step, layer, site, dropout.key);
	return dropout;
}
