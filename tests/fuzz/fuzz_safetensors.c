/* Headers of safetensors files. The first byte says what follows: even, a file as it is; odd, two bytes with the size of the
 * data area and then the text of the header, whose length is put before it, so that one need not guess it right. */
#include "config.h"

#include "base/log.h"
#include "checkpoint/safetensors.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* The areas lie one after the other up to the end, and shape and size agree. */
static void check(const struct sp_safetensors *f, uint64_t file_size)
{
	uint64_t place = 0;
	for (int i = 0; i < sp_safetensors_count(f); i++) {
		const struct sp_tensor_entry *e = sp_safetensors_at(f, i);
		int64_t elements = 1;
		for (int d = 0; d < e->dimensions; d++)
			elements *= e->shape[d];
		fuzz_must(e->dimensions <= SP_TENSOR_DIMENSIONS && elements == e->elements && elements >= 0);
		fuzz_must(i == 0 || e->begin == place);
		fuzz_must(e->begin <= e->end && e->end <= file_size);
		fuzz_must(e->dtype == SP_TENSOR_OTHER ||
		          e->end - e->begin == (uint64_t)elements * sp_tensor_dtype_size(e->dtype));
		fuzz_must(sp_safetensors_find(f, e->name) == e);
		place = e->end;
	}
	fuzz_must(sp_safetensors_count(f) == 0 || place == file_size);
	sp_safetensors_metadata(f, "format");
}

static void parse(const void *bytes, size_t size, uint64_t file_size)
{
	struct sp_safetensors *f = NULL;
	if (sp_safetensors_parse("f", bytes, size, file_size, &f) == SP_OK)
		check(f, file_size);
	sp_safetensors_close(f);
}

static void parse_header(const uint8_t *text, size_t size, unsigned data)
{
	uint8_t *bytes = malloc(8 + size);
	if (!bytes)
		return;
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)((uint64_t)size >> 8 * i);
	memcpy(bytes + 8, text, size);
	parse(bytes, 8 + size, 8 + size + data);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	sp_log_level(SP_LOG_NONE);
	if (size > 3 && data[0] % 2)
		parse_header(data + 3, size - 3, data[1] | (unsigned)data[2] << 8);
	else if (size > 1)
		parse(data + 1, size - 1, size - 1);
	return 0;
}
