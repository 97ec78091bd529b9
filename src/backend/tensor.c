#include "config.h"

#include <seqpar/tensor.h>

static const struct {
	const char *name;
	size_t size;
} dtypes[SP_DTYPES] = {
	[SP_F32] = { "f32", 4 },
	[SP_F64] = { "f64", 8 },
	[SP_I32] = { "i32", 4 },
	[SP_I64] = { "i64", 8 },
	[SP_BF16] = { "bf16", 2 },
	[SP_F16] = { "f16", 2 },
};

size_t sp_dtype_size(enum sp_dtype dtype)
{
	return (unsigned)dtype < SP_DTYPES ? dtypes[dtype].size : 0;
}

const char *sp_dtype_name(enum sp_dtype dtype)
{
	return (unsigned)dtype < SP_DTYPES ? dtypes[dtype].name : "unknown dtype";
}
