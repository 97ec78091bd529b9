#include "config.h"

#include "layers/layer.h"

#include "base/rng.h"

#include <math.h>

struct sp_dropout sp_layer_dropout(const struct sp_layer_context *ctx, int64_t layer, enum sp_dropout_site site, float p)
{
	struct sp_dropout dropout = { .keep = 65536 };
	if (!ctx->training || p <= 0)
		return dropout;
	const long keep = lround((1.0 - (double)p) * 65536.0);
	dropout.keep = keep < 1 ? 1 : (uint32_t)keep;
	sp_rng_key(ctx->seed, SP_RNG_DROPOUT, ctx->step, (uint64_t)layer * SP_SITES + site, dropout.key);
	return dropout;
}
