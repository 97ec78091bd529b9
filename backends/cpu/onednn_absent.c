/* In place of onednn.c where the library is not built in. Nothing is ever opened, so only that it is not can be asked. */
#include "config.h"

#include "cpu/onednn.h"

#include "base/log.h"

int sp_onednn_open(int threads, struct sp_onednn **o, char *why, size_t size)
{
	(void)threads, (void)o;
	return sp_say(SP_ERR_ABSENT, why, size, "this build has no oneDNN (./configure --with-onednn)");
}

void sp_onednn_close(struct sp_onednn *o)
{
	(void)o;
}

void sp_onednn_name(char *text, size_t size)
{
	if (size)
		text[0] = 0;
}

int sp_onednn_is_fast(enum sp_dtype dtype)
{
#ifdef __x86_64__
	return dtype == SP_BF16 && __builtin_cpu_supports("avx512bf16");
#else
	(void)dtype;
	return 0;
#endif
}

int sp_onednn_knows(struct sp_onednn *o, enum sp_dtype dtype)
{
	(void)o, (void)dtype;
	return 0;
}

void sp_onednn_tidy(struct sp_onednn *o)
{
	(void)o;
}

int sp_onednn_ready(struct sp_onednn *o, const struct sp_onednn_product *p)
{
	(void)o, (void)p;
	return SP_ERR_ABSENT;
}

int sp_onednn_multiply(struct sp_onednn *o, const struct sp_onednn_product *p, int thread, const void *a, const void *b, void *c)
{
	(void)o, (void)p, (void)thread, (void)a, (void)b, (void)c;
	return SP_ERR_ABSENT;
}
