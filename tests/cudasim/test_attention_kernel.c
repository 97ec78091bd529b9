/* Whose attention runs on cuda: the library's where that is allowed and right, else the own kernels'. On the simulator, whose library
 * can be told to be missing, to have no plans, and to be wrong. */
#include "config.h"

#include "support.h"

#include "attention/variants.h"
#include "backend/compute.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 2, HEADS = 2, HEAD_DIM = 16, WIDTH = HEADS * HEAD_DIM, TOKENS = 24, ROWS = BATCH * TOKENS, LINES = BATCH * HEADS };

/* Inputs of one packed projection, and results, as a step of one rank has them. */
struct step {
	struct sp_compute *compute;
	enum sp_dtype element;
	char *memory;
	float acc[ROWS * WIDTH], l[LINES * TOKENS], dqkv[ROWS * 3 * WIDTH];
	struct sp_matrix qkv, o, dout, acc_there, m, l_there, dots, dqkv_there;
	int32_t *docs;
};

static struct sp_compute *open_kernel(enum sp_attention_kernel kernel, const char *library)
{
	const struct sp_compute_options options = { .threads = 1, .attention_kernel = kernel };
	struct sp_compute *compute = NULL;
	if (library)
		setenv("SEQPAR_CUDASIM_SDPA", library, 1);
	else
		unsetenv("SEQPAR_CUDASIM_SDPA");
	sp_log_level(SP_LOG_NONE);
	if (sp_compute_open("cudasim", &options, &compute))
		compute = NULL;
	sp_log_level(SP_LOG_WARNING);
	return compute;
}

static struct sp_matrix take(struct step *s, size_t *used, int64_t rows, int64_t cols, enum sp_dtype dtype)
{
	const struct sp_matrix m = sp_matrix_of(s->memory + *used, rows, cols, dtype);
	*used += ((size_t)(rows * cols) * sp_dtype_size(dtype) + 255) / 256 * 256;
	return m;
}

static void fill(struct step *s, struct sp_matrix to, struct sp_matrix floats, uint32_t state)
{
	float host[ROWS * 3 * WIDTH];
	for (int64_t i = 0; i < to.rows * to.cols; i++) {
		state = state * 1664525u + 1013904223u;
		host[i] = (float)(int32_t)state * 0x1p-31f;
	}
	floats = sp_matrix(floats.data, to.rows, to.cols);
	assert_int_equal(sp_compute_copy_in(s->compute, floats.data, host, (size_t)(to.rows * to.cols) * sizeof *host), SP_OK);
	assert_int_equal(sp_compute_convert(s->compute, floats, to), SP_OK);
}

static void step_open(struct step *s, struct sp_compute *compute, enum sp_dtype element)
{
	size_t used = 0;
	s->compute = compute;
	s->element = element;
	assert_non_null(compute);
	assert_int_equal(sp_compute_alloc(compute, 1 << 20, (void **)&s->memory), SP_OK);
	s->qkv = take(s, &used, ROWS, 3 * WIDTH, element);
	s->o = take(s, &used, ROWS, WIDTH, element);
	s->dout = take(s, &used, ROWS, WIDTH, element);
	s->acc_there = take(s, &used, ROWS, WIDTH, SP_F32);
	s->m = take(s, &used, LINES, TOKENS, SP_F32);
	s->l_there = take(s, &used, LINES, TOKENS, SP_F32);
	s->dots = take(s, &used, LINES, TOKENS, SP_F32);
	s->dqkv_there = take(s, &used, ROWS, 3 * WIDTH, SP_F32);
	s->docs = take(s, &used, 1, ROWS, SP_I32).data;
	assert_true(used <= 1 << 20);
	assert_int_equal(sp_compute_zero(compute, s->docs, ROWS * sizeof *s->docs), SP_OK);
	fill(s, s->qkv, s->dqkv_there, 1);
	fill(s, s->dout, s->dqkv_there, 2);
}

static void step_close(struct step *s)
{
	sp_compute_free(s->compute, s->memory);
	sp_compute_close(s->compute);
}

static void step_run(struct step *s, int whole, uint32_t keep)
{
	const struct sp_attention_shape shape = {
		.batch = BATCH, .heads = HEADS, .head_dim = HEAD_DIM, .chunk = TOKENS, .keys = TOKENS, .scale = 0.25f, .query_doc = s->docs,
		.key_doc = s->docs, .sample = (const uint32_t *)s->docs, .whole = whole, .dropout = { .key = { 1, 2 }, .keep = keep },
	};
	const struct sp_matrix q = sp_matrix_columns(s->qkv, 0, WIDTH), k = sp_matrix_columns(s->qkv, WIDTH, WIDTH);
	const struct sp_matrix v = sp_matrix_columns(s->qkv, 2 * WIDTH, WIDTH);
	const struct sp_attention_forward forward = { shape, q, k, v, s->acc_there, s->m, s->l_there, 1 };
	const struct sp_attention_finish finish = { BATCH, HEADS, HEAD_DIM, TOKENS, s->acc_there, s->m, s->l_there, s->o, s->m };
	const struct sp_attention_dots dots = { BATCH, HEADS, HEAD_DIM, TOKENS, s->dout, s->o, s->dots };
	const struct sp_attention_backward backward = {
		.shape = shape, .q = q, .k = k, .v = v, .o = s->o, .dout = s->dout, .lse = s->m, .dots = s->dots,
		.dq = sp_matrix_columns(s->dqkv_there, 0, WIDTH), .dk = sp_matrix_columns(s->dqkv_there, WIDTH, WIDTH),
		.dv = sp_matrix_columns(s->dqkv_there, 2 * WIDTH, WIDTH), .overwrite_dq = 1, .overwrite_dkv = 1,
	};
	assert_int_equal(sp_compute_attention_forward(s->compute, &forward), SP_OK);
	assert_int_equal(sp_compute_copy_out(s->compute, s->acc, s->acc_there.data, sizeof s->acc), SP_OK);
	assert_int_equal(sp_compute_copy_out(s->compute, s->l, s->l_there.data, sizeof s->l), SP_OK);
	assert_int_equal(sp_compute_attention_finish(s->compute, &finish), SP_OK);
	assert_int_equal(sp_compute_attention_dots(s->compute, &dots), SP_OK);
	assert_int_equal(sp_compute_attention_backward(s->compute, &backward), SP_OK);
	assert_int_equal(sp_compute_copy_out(s->compute, s->dqkv, s->dqkv_there.data, sizeof s->dqkv), SP_OK);
}

/* Such a step by own kernels alone. */
static const struct step *by_own(enum sp_dtype element, uint32_t keep)
{
	static struct step s;
	step_open(&s, open_kernel(SP_ATTENTION_FLASH, NULL), element);
	step_run(&s, 1, keep);
	step_close(&s);
	return &s;
}

static int is_equal(const struct step *x, const struct step *y)
{
	return memcmp(x->acc, y->acc, sizeof x->acc) == 0 && memcmp(x->l, y->l, sizeof x->l) == 0 &&
	       memcmp(x->dqkv, y->dqkv, sizeof x->dqkv) == 0;
}

/* A library's result has a sum of 1 relative to ln of itself. */
static int is_by_library(const struct step *s)
{
	int all = 1;
	for (int i = 0; i < LINES * TOKENS; i++)
		all = all && s->l[i] == 1;
	return all;
}

/* Whether a step is the library's; if not it must equal the own kernels' bit for bit. */
static int takes(enum sp_attention_kernel kernel, const char *library, enum sp_dtype element, int whole, uint32_t keep)
{
	static struct step s;
	step_open(&s, open_kernel(kernel, library), element);
	step_run(&s, whole, keep);
	step_close(&s);
	const int taken = is_by_library(&s);
	if (!taken)
		assert_true(is_equal(&s, by_own(element, keep)));
	return taken;
}

static void whole_steps_of_16_bits_without_dropout_are_the_librarys(void **state)
{
	(void)state;
	assert_true(takes(SP_ATTENTION_AUTO, NULL, SP_BF16, 1, 65536));
	assert_true(takes(SP_ATTENTION_AUTO, NULL, SP_F16, 1, 65536));
	assert_true(takes(SP_ATTENTION_CUDNN, NULL, SP_BF16, 1, 65536));
	assert_false(takes(SP_ATTENTION_FLASH, NULL, SP_BF16, 1, 65536));
	assert_false(takes(SP_ATTENTION_AUTO, NULL, SP_F32, 1, 65536));
	assert_false(takes(SP_ATTENTION_AUTO, NULL, SP_BF16, 0, 65536));
	assert_false(takes(SP_ATTENTION_CUDNN, NULL, SP_BF16, 0, 65536));
	assert_false(takes(SP_ATTENTION_CUDNN, NULL, SP_BF16, 1, 60000));
}

static double apart(const float *x, const float *y, int64_t n)
{
	double difference = 0, size = 0;
	for (int64_t i = 0; i < n; i++) {
		difference += pow((double)x[i] - y[i], 2);
		size += pow(y[i], 2);
	}
	return sqrt(difference / size);
}

static void the_librarys_gradients_are_near_the_own_kernels(void **state)
{
	static struct step s;
	(void)state;
	step_open(&s, open_kernel(SP_ATTENTION_AUTO, NULL), SP_BF16);
	step_run(&s, 1, 65536);
	step_close(&s);
	const double far = apart(s.dqkv, by_own(SP_BF16, 65536)->dqkv, ROWS * 3 * WIDTH);
	assert_true(far > 1e-5 && far < 1e-2);
}

/* What is written to standard error meanwhile. */
static FILE *hear(void)
{
	FILE *heard = tmpfile();
	assert_non_null(heard);
	fflush(stderr);
	assert_true(dup2(fileno(heard), STDERR_FILENO) >= 0);
	return heard;
}

static int lines_with(FILE *heard, int back, const char *words)
{
	char line[1024];
	int n = 0;
	fflush(stderr);
	assert_true(dup2(back, STDERR_FILENO) >= 0);
	close(back);
	rewind(heard);
	while (fgets(line, sizeof line, heard)) {
		n += strstr(line, words) != NULL;
		fprintf(stderr, "# %s", line);
	}
	fclose(heard);
	return n;
}

/* Steps again and again: it is tried once, said once, and not asked for again. */
static void a_library_that_cannot_be_used_is_left_out_with_one_warning(void **state)
{
	static const char *const libraries[][2] = { { "wrong", "gradients of keys and values differ" }, { "none", "no plan" } };
	(void)state;
	for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
		static struct step s;
		step_open(&s, open_kernel(SP_ATTENTION_AUTO, libraries[i][0]), SP_BF16);
		const int back = dup(STDERR_FILENO);
		FILE *heard = hear();
		for (int n = 0; n < 3; n++)
			step_run(&s, 1, 65536);
		assert_int_equal(lines_with(heard, back, libraries[i][1]), 1);
		assert_true(is_equal(&s, by_own(SP_BF16, 65536)));
		step_close(&s);
	}
}

static void describe(struct sp_compute *compute, char *text, size_t size)
{
	char warning[512];
	assert_non_null(compute);
	sp_compute_describe(compute, text, size, warning, sizeof warning);
	sp_compute_close(compute);
}

static void a_library_that_is_missing_is_an_error_only_if_asked_for(void **state)
{
	char text[512];
	(void)state;
	assert_null(open_kernel(SP_ATTENTION_CUDNN, "absent"));
	describe(open_kernel(SP_ATTENTION_AUTO, "absent"), text, sizeof text);
	assert_non_null(strstr(text, "own kernels alone: no libcudnn.so.9"));
	describe(open_kernel(SP_ATTENTION_AUTO, NULL), text, sizeof text);
	assert_non_null(strstr(text, "cuDNN simulated"));
	describe(open_kernel(SP_ATTENTION_FLASH, NULL), text, sizeof text);
	assert_null(strstr(text, "cuDNN"));
	assert_false(takes(SP_ATTENTION_AUTO, "absent", SP_BF16, 1, 65536));
}

static int refuses(enum sp_attention_kernel kernel, const char *library, const struct sp_compute_needs *needs)
{
	struct sp_compute *compute = open_kernel(kernel, library);
	assert_non_null(compute);
	const int status = sp_compute_supports(compute, needs);
	sp_compute_close(compute);
	return status == SP_ERR_UNUSABLE;
}

/* Before training starts, where cudnn was asked for. */
static void what_the_library_can_never_do_is_refused(void **state)
{
	const struct sp_compute_needs good = { .dtype = SP_BF16, .head_dim = 16, .attention_dtype = SP_BF16 };
	struct sp_compute_needs bad[] = { good, good, good, good };
	bad[0].attention_dtype = SP_F32;
	bad[1].attention_dropout = 0.1f;
	bad[2].never_whole = 1;
	bad[3].head_dim = 20;
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_true(refuses(SP_ATTENTION_CUDNN, NULL, &bad[i]));
		assert_false(refuses(SP_ATTENTION_AUTO, NULL, &bad[i]));
	}
	assert_false(refuses(SP_ATTENTION_CUDNN, NULL, &good));
	assert_true(refuses(SP_ATTENTION_CUDNN, "wrong", &good));
	assert_true(refuses(SP_ATTENTION_CUDNN, "none", &good));
}

static void a_step_is_whole_if_the_tokens_of_both_ranks_are(void **state)
{
	static const uint8_t whole[] = { 1, 0, 1 };
	const struct sp_attention_call known = { .whole = whole }, unknown = { .whole = NULL };
	(void)state;
	for (int mine = 0; mine < 3; mine++)
		for (int theirs = 0; theirs < 3; theirs++) {
			assert_int_equal(sp_attention_whole(&known, mine, theirs), mine != 1 && theirs != 1);
			assert_int_equal(sp_attention_whole(&unknown, mine, theirs), 0);
		}
}

static void the_cpu_refuses_cudnn(void **state)
{
	const struct sp_compute_options options = { .threads = 1, .attention_kernel = SP_ATTENTION_CUDNN };
	struct sp_compute *compute = NULL;
	(void)state;
	assert_int_equal(sp_compute_open("cpu", &options, &compute), SP_ERR_UNUSABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_steps_of_16_bits_without_dropout_are_the_librarys),
		cmocka_unit_test(the_librarys_gradients_are_near_the_own_kernels),
		cmocka_unit_test(a_library_that_cannot_be_used_is_left_out_with_one_warning),
		cmocka_unit_test(a_library_that_is_missing_is_an_error_only_if_asked_for),
		cmocka_unit_test(what_the_library_can_never_do_is_refused),
		cmocka_unit_test(a_step_is_whole_if_the_tokens_of_both_ranks_are),
		cmocka_unit_test(the_cpu_refuses_cudnn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
