/* A model's directory appears whole or not at all. What is in it is told by tests/cli/test_convert.sh. */
#include "config.h"

#include "support.h"

#include "base/log.h"
#include "checkpoint/export.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/weights.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"

#include <dirent.h>
#include <string.h>

static const struct sp_model_config small = {
	.layers = 1, .hidden = 8, .heads = 2, .intermediate = 12, .vocab_size = 6, .max_positions = 5,
	.activation = SP_ACT_GELU, .dropout = 0.1f, .attention_dropout = 0.1f, .layer_norm_eps = 1e-12f,
};
static struct sp_parameters table;
static float *values;
static struct sp_export job;

static int enter(void **state)
{
	static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n";
	(void)state;
	scratch_make();
	if (sp_parameters_create(&small, &table))
		return -1;
	values = malloc((size_t)table.elements * sizeof *values);
	if (!values)
		return -1;
	sp_parameters_init(&table, 3, values);
	job = (struct sp_export){ .config = &small, .table = &table, .values = values, .dtype = SP_TENSOR_F32, .vocab = vocab,
		                      .vocab_size = sizeof vocab - 1 };
	return 0;
}

static int leave(void **state)
{
	(void)state;
	scratch_remove();
	free(values);
	sp_parameters_destroy(&table);
	return 0;
}

/* Names below the scratch directory. */
static int names(void)
{
	DIR *directory = opendir(scratch);
	struct dirent *entry;
	int count = 0;
	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static void what_is_written_is_the_model(void **state)
{
	struct sp_model_config config;
	struct sp_weights *w;
	struct sp_weights_note note;
	float *back = malloc((size_t)table.elements * sizeof *back);
	uint64_t bytes = 0;
	(void)state;
	assert_non_null(back);
	assert_int_equal(sp_export_write(scratch_path("out/"), &job, &bytes), SP_OK);
	assert_int_equal(names(), 1);
	struct stat info;
	assert_int_equal(stat(scratch_path("out/model.safetensors"), &info), 0);
	assert_int_equal(info.st_size, bytes);
	assert_int_equal(sp_hf_config_read(scratch_path("out"), &config), SP_OK);
	assert_int_equal(config.vocab_size, 6);
	assert_int_equal(sp_weights_open(scratch_path("out"), &w), SP_OK);
	memset(back, 0, (size_t)table.elements * sizeof *back);
	assert_int_equal(sp_weights_fill(w, &table, SP_EXTEND_NO, back, &note), SP_OK);
	assert_string_equal(note.text, "");
	assert_memory_equal(back, values, (size_t)table.elements * sizeof *back);
	sp_weights_close(w);
	free(back);
}

static void a_stop_leaves_nothing(void **state)
{
	const volatile sig_atomic_t stop = 1;
	struct sp_export stopped = job;
	uint64_t bytes;
	const int before = names();
	(void)state;
	stopped.stop = &stop;
	assert_int_equal(sp_export_write(scratch_path("stopped"), &stopped, &bytes), SP_ERR_STOPPED);
	assert_int_equal(names(), before);
}

static void what_is_there_is_refused_whatever_it_is(void **state)
{
	uint64_t bytes;
	(void)state;
	scratch_write("file", "x", 1);
	assert_int_equal(mkdir(scratch_path("directory"), 0777), 0);
	assert_int_equal(symlink("nowhere", scratch_path("link")), 0);
	static const char *const there[] = { "file", "directory", "link" };
	for (int i = 0; i < 3; i++) {
		messages_start();
		assert_int_equal(sp_export_write(scratch_path(there[i]), &job, &bytes), SP_ERR_IO);
		assert_non_null(strstr(messages_end(), "is there already and is not overwritten"));
	}
	assert_int_equal(rmdir(scratch_path("directory")), 0);
}

static void a_number_too_large_is_named_before_anything_is_written(void **state)
{
	struct sp_export half = job;
	uint64_t bytes;
	const int before = names();
	float *number = values + sp_parameters_find(&table, "bert.encoder.layer.0.output.dense.bias")->offset;
	(void)state;
	half.dtype = SP_TENSOR_F16;
	*number = 65520;
	messages_start();
	assert_int_equal(sp_export_write(scratch_path("half"), &half, &bytes), SP_ERR_NUMERIC);
	assert_non_null(strstr(messages_end(), "tensor 'bert.encoder.layer.0.output.dense.bias': 1 of its numbers, of up to 65520"));
	assert_int_equal(names(), before);
	*number = 65519;
	assert_int_equal(sp_export_write(scratch_path("half"), &half, &bytes), SP_OK);
	half.dtype = SP_TENSOR_BF16;
	*number = 3.4e38f;
	messages_start();
	assert_int_equal(sp_export_write(scratch_path("other"), &half, &bytes), SP_ERR_NUMERIC);
	assert_non_null(strstr(messages_end(), "are too large for bf16"));
	*number = 3.38e38f;
	assert_int_equal(sp_export_write(scratch_path("other"), &half, &bytes), SP_OK);
	*number = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_the_model),
		cmocka_unit_test(a_stop_leaves_nothing),
		cmocka_unit_test(what_is_there_is_refused_whatever_it_is),
		cmocka_unit_test(a_number_too_large_is_named_before_anything_is_written),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
