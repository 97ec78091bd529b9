#include "config.h"

#include "attention/attention.h"

#include "attention/variants.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

static const struct sp_attention_variant *const variants[] = {
	&sp_attention_full,
	&sp_attention_ring,
	&sp_attention_allgather,
	&sp_attention_ulysses,
	&sp_attention_hybrid,
	&sp_attention_rsa,
	&sp_attention_linformer,
	&sp_attention_window,
};

enum { VARIANTS = sizeof variants / sizeof *variants };

const char *sp_attention_name(int i)
{
	return i >= 0 && i < VARIANTS ? variants[i]->name : NULL;
}

enum sp_dtype sp_attention_element(const struct sp_attention_variant *variant, const struct sp_attention_choice *choice,
                                   enum sp_dtype element)
{
	return variant->narrow && !choice->ring_queries ? element : SP_F32;
}

const struct sp_attention_variant *sp_attention_find(const char *name)
{
	char known[160] = "";
	for (int i = 0; i < VARIANTS; i++) {
		if (strcmp(variants[i]->name, name) == 0)
			return variants[i];
		size_t used = strlen(known);
		snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", variants[i]->name);
	}
	sp_fail(SP_ERR_SETTING, "parallel.attention = %s: there is no such attention; known are %s", name, known);
	return NULL;
}
