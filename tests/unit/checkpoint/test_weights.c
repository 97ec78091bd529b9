/* Weights are found under all the names they go by, and go where they belong; what does not fit is refused by name. */
#include "config.h"

#include "support.h"

#include "base/log.h"
#include "checkpoint/weights.h"
#include "unit/checkpoint/model_files.h"
#include "unit/data/messages.h"

#include <string.h>

static const struct sp_model_config small = {
	.layers = 2, .hidden = 8, .heads = 2, .intermediate = 12, .vocab_size = 19, .max_positions = 5,
	.activation = SP_ACT_GELU, .dropout = 0.1f, .attention_dropout = 0.1f, .layer_norm_eps = 1e-12f, .sentence_order = 1,
};

static struct sp_parameters table; /* of small */
static float *source;              /* its values, all different */
static struct model_file file;

static float *new_values(const struct sp_parameters *t, float value)
{
	float *values = malloc((size_t)t->elements * sizeof *values);
	assert_non_null(values);
	for (int64_t i = 0; i < t->elements; i++)
		values[i] = value;
	return values;
}

static int enter(void **state)
{
	(void)state;
	scratch_make();
	if (sp_parameters_create(&small, &table))
		return -1;
	source = new_values(&table, 0);
	for (int64_t i = 0; i < table.elements; i++)
		source[i] = (float)(i + 1);
	return 0;
}

static int leave(void **state)
{
	(void)state;
	scratch_remove();
	free(source);
	sp_parameters_destroy(&table);
	return 0;
}

/* Fills the parameters of `t`, all -7 before, from the scratch directory; for free(). */
static float *filled(const struct sp_parameters *t, enum sp_extend extend, struct sp_weights_note *note)
{
	struct sp_weights *w;
	float *values = new_values(t, -7);
	assert_int_equal(sp_weights_open(scratch, &w), SP_OK);
	assert_int_equal(sp_weights_fill(w, t, extend, values, note), SP_OK);
	sp_weights_close(w);
	return values;
}

/* That parameter `name` holds what it has in `source`, or still -7. */
static void holds(const float *values, const char *name, int its_own)
{
	const struct sp_parameter *p = sp_parameters_find(&table, name);
	assert_non_null(p);
	for (int64_t i = p->offset; i < p->offset + p->rows * p->cols; i++)
		assert_float_equal(values[i], its_own ? source[i] : -7, 0);
}

static void whole(void)
{
	struct sp_weights_note note;
	float *values = filled(&table, SP_EXTEND_NO, &note);
	for (int i = 0; i < table.count; i++)
		holds(values, table.entry[i].name, 1);
	assert_string_equal(note.text, "");
	free(values);
}

static int without_prefix(const char *name, char *other)
{
	strcpy(other, strncmp(name, "bert.", 5) == 0 ? name + 5 : name);
	return 1;
}

static int gamma_and_beta(const char *name, char *other)
{
	const char *norm = strstr(name, "LayerNorm.");
	if (norm)
		sprintf(other, "%.*s%s", (int)(norm + 10 - name), name, strstr(norm, "weight") ? "gamma" : "beta");
	return 1;
}

static int decoder_bias(const char *name, char *other)
{
	if (strcmp(name, "cls.predictions.bias") == 0)
		strcpy(other, "cls.predictions.decoder.bias");
	return 1;
}

static int both_old(const char *name, char *other)
{
	char old[128];
	snprintf(old, sizeof old, "%s", name);
	gamma_and_beta(name, old);
	return without_prefix(old, other);
}

static void every_naming_fills_every_parameter(void **state)
{
	static int (*const namings[])(const char *name, char *other) = { NULL, without_prefix, gamma_and_beta, decoder_bias,
		                                                             both_old };
	(void)state;
	for (size_t i = 0; i < sizeof namings / sizeof *namings; i++) {
		model_file_fill(&file, &table, source, namings[i]);
		model_file_write(&file, "model.safetensors");
		whole();
	}
}

static void what_is_derived_is_passed_over_in_silence(void **state)
{
	const struct sp_parameter *words = sp_parameters_find(&table, "bert.embeddings.word_embeddings.weight");
	const struct sp_parameter *bias = sp_parameters_find(&table, "cls.predictions.bias");
	(void)state;
	model_file_fill(&file, &table, source, NULL);
	model_file_add(&file, "cls.predictions.decoder.weight", words->rows, words->cols, source + words->offset);
	model_file_add(&file, "cls.predictions.decoder.bias", 1, bias->cols, source + bias->offset);
	model_file_add(&file, "bert.embeddings.position_ids", 1, 5, source);
	model_file_write(&file, "model.safetensors");
	whole();
}

static int only_encoder(const char *name, char *other)
{
	(void)other;
	return strncmp(name, "cls.", 4) != 0 && strncmp(name, "bert.pooler.", 12) != 0;
}

static int old_encoder(const char *name, char *other)
{
	return strncmp(name, "cls.", 4) != 0 && both_old(name, other);
}

static void what_the_files_have_is_known_by_its_name_here(void **state)
{
	struct sp_weights *w;
	(void)state;
	model_file_fill(&file, &table, source, old_encoder);
	model_file_write(&file, "model.safetensors");
	assert_int_equal(sp_weights_open(scratch, &w), SP_OK);
	assert_true(sp_weights_has(w, "bert.embeddings.LayerNorm.weight"));
	assert_true(sp_weights_has(w, "bert.pooler.dense.bias"));
	assert_false(sp_weights_has(w, "cls.predictions.transform.dense.weight"));
	assert_false(sp_weights_has(w, "embeddings.LayerNorm.gamma"));
	sp_weights_close(w);
}

static void missing_heads_keep_their_values_and_are_named(void **state)
{
	static const char *const heads[] = { "bert.pooler.dense.weight", "cls.predictions.bias",
		                                 "cls.predictions.transform.LayerNorm.weight", "cls.seq_relationship.bias" };
	struct sp_weights_note note;
	(void)state;
	model_file_fill(&file, &table, source, only_encoder);
	model_file_write(&file, "model.safetensors");
	float *values = filled(&table, SP_EXTEND_NO, &note);
	for (int i = 0; i < table.count; i++)
		holds(values, table.entry[i].name, only_encoder(table.entry[i].name, NULL));
	assert_non_null(strstr(note.text, "not in the files, so initialised: "));
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		assert_non_null(strstr(note.text, heads[i]));
	assert_null(strstr(note.text, "not used"));
	free(values);
}

static void what_has_no_place_is_named_as_often_as_fits(void **state)
{
	struct sp_weights_note note;
	char name[128];
	(void)state;
	model_file_fill(&file, &table, source, only_encoder);
	model_file_add(&file, "classifier.weight", 2, 8, source);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "a.tensor.of.a.rather.long.name.that.nobody.knows.here.%d", i);
		model_file_add(&file, name, 1, 8, source);
	}
	model_file_write(&file, "model.safetensors");
	free(filled(&table, SP_EXTEND_NO, &note));
	assert_non_null(strstr(note.text, "so initialised: "));
	assert_non_null(strstr(note.text, "; not used: a.tensor.of"));
	assert_string_equal(note.text + strlen(note.text) - 5, " more");
	model_file_fill(&file, &table, source, NULL);
	model_file_add(&file, "classifier.weight", 2, 8, source);
	model_file_write(&file, "model.safetensors");
	free(filled(&table, SP_EXTEND_NO, &note));
	assert_string_equal(note.text, "not used: classifier.weight");
}

static void positions_are_repeated_or_stretched(void **state)
{
	struct sp_model_config longer = small;
	struct sp_parameters more;
	struct sp_weights_note note;
	(void)state;
	longer.max_positions = 13;
	assert_int_equal(sp_parameters_create(&longer, &more), SP_OK);
	model_file_fill(&file, &table, source, NULL);
	model_file_write(&file, "model.safetensors");
	const struct sp_parameter *from = sp_parameters_find(&table, "bert.embeddings.position_embeddings.weight");
	const struct sp_parameter *to = sp_parameters_find(&more, from->name);
	float *values = filled(&more, SP_EXTEND_TILE, &note);
	assert_string_equal(note.text, "positions repeated from 5 to 13");
	for (int64_t i = 0; i < 13; i++)
		assert_memory_equal(values + to->offset + i * 8, source + from->offset + i % 5 * 8, 8 * sizeof(float));
	free(values);
	values = filled(&more, SP_EXTEND_INTERPOLATE, &note);
	assert_string_equal(note.text, "positions stretched from 5 to 13");
	for (int64_t i = 0; i < 13; i++)
		for (int64_t j = 0; j < 8; j++) /* the source rises by 8 from row to row, so it is linear all along */
			assert_float_equal(values[to->offset + i * 8 + j], (double)source[from->offset + j] + 8.0 * (double)i * 4 / 12, 1e-4);
	free(values);
	sp_parameters_destroy(&more);
}

static void one_position_can_be_stretched(void **state)
{
	struct sp_model_config one = small, three = small;
	struct sp_parameters few, more;
	struct sp_weights_note note;
	(void)state;
	one.max_positions = 1;
	three.max_positions = 3;
	assert_int_equal(sp_parameters_create(&one, &few), SP_OK);
	assert_int_equal(sp_parameters_create(&three, &more), SP_OK);
	model_file_fill(&file, &few, source, NULL);
	for (int i = 0; i < file.count; i++) /* a table of one row is a matrix all the same */
		if (strstr(file.name[i], "position")) {
			file.entry[i].dimensions = 2;
			file.entry[i].shape[0] = 1;
			file.entry[i].shape[1] = 8;
		}
	model_file_write(&file, "model.safetensors");
	float *values = filled(&more, SP_EXTEND_INTERPOLATE, &note);
	const int64_t to = sp_parameters_find(&more, "bert.embeddings.position_embeddings.weight")->offset;
	const int64_t from = sp_parameters_find(&few, "bert.embeddings.position_embeddings.weight")->offset;
	for (int i = 0; i < 3; i++)
		assert_memory_equal(values + to + 8 * i, source + from, 8 * sizeof(float));
	free(values);
	free(filled(&few, SP_EXTEND_NO, &note));
	assert_string_equal(note.text, "");
	sp_parameters_destroy(&few);
	sp_parameters_destroy(&more);
}

/* Opening or filling fails with these words. */
static void refused(const struct sp_parameters *t, enum sp_extend extend, int expected, const char *words)
{
	struct sp_weights *w = NULL;
	struct sp_weights_note note;
	float *values = new_values(t, 0);
	messages_start();
	int status = sp_weights_open(scratch, &w);
	if (status == SP_OK)
		status = sp_weights_fill(w, t, extend, values, &note);
	const char *said = messages_end();
	if (status != expected || !strstr(said, words) || !strstr(said, scratch))
		fail_msg("status %d, expected \"%s\": %s", status, words, said);
	sp_weights_close(w);
	free(values);
}

static void another_shape_is_refused_by_name(void **state)
{
	static const struct {
		int64_t vocab_size, max_positions, hidden, intermediate;
		enum sp_extend extend;
		const char *words;
	} cases[] = {
		{ 20, 5, 8, 12, SP_EXTEND_NO, "tensor 'bert.embeddings.word_embeddings.weight' is [19, 8], but the model has 20 tokens" },
		{ 18, 5, 8, 12, SP_EXTEND_NO, "model.vocab_size must be the number of tokens" },
		{ 19, 9, 8, 12, SP_EXTEND_NO, "embeddings.weight' has 5 positions, the model 9: give model.extend_positions=tile" },
		{ 19, 4, 8, 12, SP_EXTEND_TILE, "has 5 positions, the model 4: give model.max_positions=5" },
		{ 19, 4, 8, 12, SP_EXTEND_INTERPOLATE, "has 5 positions, the model 4: give model.max_positions=5" },
		{ 19, 5, 6, 12, SP_EXTEND_NO, "is [19, 8], but the model has 19 tokens of 6 features" },
		{ 19, 5, 8, 13, SP_EXTEND_NO, "'bert.encoder.layer.0.intermediate.dense.weight' is [12, 8], the model needs [13, 8]" },
	};
	(void)state;
	model_file_fill(&file, &table, source, NULL);
	model_file_write(&file, "model.safetensors");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_model_config config = small;
		struct sp_parameters other;
		config.vocab_size = cases[i].vocab_size;
		config.max_positions = cases[i].max_positions;
		config.hidden = cases[i].hidden;
		config.intermediate = cases[i].intermediate;
		assert_int_equal(sp_parameters_create(&config, &other), SP_OK);
		refused(&other, cases[i].extend, SP_ERR_FORMAT, cases[i].words);
		sp_parameters_destroy(&other);
	}
}

static int without_a_bias(const char *name, char *other)
{
	(void)other;
	return strcmp(name, "bert.encoder.layer.1.output.dense.bias") != 0;
}

static void missing_doubled_and_unreadable_tensors_are_refused_by_name(void **state)
{
	(void)state;
	model_file_fill(&file, &table, source, without_a_bias);
	model_file_write(&file, "model.safetensors");
	refused(&table, SP_EXTEND_NO, SP_ERR_FORMAT, "tensor 'bert.encoder.layer.1.output.dense.bias' is missing");
	model_file_fill(&file, &table, source, NULL);
	model_file_add(&file, "embeddings.LayerNorm.gamma", 1, 8, source);
	model_file_write(&file, "model.safetensors");
	refused(&table, SP_EXTEND_NO, SP_ERR_FORMAT, "'embeddings.LayerNorm.gamma'");
	struct sp_model_config pre = small;
	struct sp_parameters other;
	pre.pre_norm = 1;
	assert_int_equal(sp_parameters_create(&pre, &other), SP_OK);
	model_file_fill(&file, &table, source, NULL);
	model_file_write(&file, "model.safetensors");
	refused(&other, SP_EXTEND_NO, SP_ERR_FORMAT, "tensor 'bert.encoder.layer.0.attention.ln.weight' is missing");
	sp_parameters_destroy(&other);
}

/* ---- several files ---- */

static int layer_part(const char *name, int first)
{
	return (strstr(name, "layer.0.") != NULL) == first;
}

static int first_part(const char *name, char *other)
{
	(void)other;
	return layer_part(name, 1);
}

static int second_part(const char *name, char *other)
{
	(void)other;
	return layer_part(name, 0);
}

/* Two files a and b of the model, and an index that says of `wrong` (if any) that it is in `where`. */
static void write_parts(const char *wrong, const char *where)
{
	char index[16384] = "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {";
	remove(scratch_path("model.safetensors"));
	model_file_fill(&file, &table, source, first_part);
	model_file_write(&file, "a.safetensors");
	model_file_fill(&file, &table, source, second_part);
	model_file_write(&file, "b.safetensors");
	for (int i = 0; i < table.count; i++) {
		const char *name = table.entry[i].name, *in = layer_part(name, 1) ? "a.safetensors" : "b.safetensors";
		const size_t used = strlen(index);
		if (wrong && strcmp(wrong, name) == 0)
			in = where;
		if (in)
			snprintf(index + used, sizeof index - used, "%s\"%s\": \"%s\"", i ? ", " : "", name, in);
	}
	strcat(index, "}}");
	scratch_write("model.safetensors.index.json", index, strlen(index));
}

static void several_files_are_one_model(void **state)
{
	(void)state;
	write_parts(NULL, NULL);
	whole();
}

static void an_index_that_lies_is_refused_by_name(void **state)
{
	static const char name[] = "bert.encoder.layer.0.output.dense.bias";
	static const struct {
		const char *where;
		int status;
		const char *words;
	} cases[] = {
		{ "b.safetensors", SP_ERR_FORMAT, "tensor 'bert.encoder.layer.0.output.dense.bias' is not in " },
		{ NULL, SP_ERR_FORMAT, "a.safetensors: tensor 'bert.encoder.layer.0.output.dense.bias' is there, but " },
		{ "../b.safetensors", SP_ERR_FORMAT, "'../b.safetensors' is not the plain name of a file" },
		{ "/etc/passwd", SP_ERR_FORMAT, "'/etc/passwd' is not the plain name" },
		{ "..", SP_ERR_FORMAT, "'..' is not the plain name" },
		{ "", SP_ERR_FORMAT, "'' is not the plain name" },
		{ "c.safetensors", SP_ERR_IO, "c.safetensors: cannot be opened: No such file" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		write_parts(name, cases[i].where);
		refused(&table, SP_EXTEND_NO, cases[i].status, cases[i].words);
	}
	scratch_write("model.safetensors.index.json", "{\"weight_map\": 1}", 17);
	refused(&table, SP_EXTEND_NO, SP_ERR_FORMAT, "index.json: no weight_map");
	scratch_write("model.safetensors.index.json", "{\"weight_map\": {\"a\": 1}}", 24);
	refused(&table, SP_EXTEND_NO, SP_ERR_FORMAT, "tensor 'a': '(no text)' is not the plain name");
	scratch_write("model.safetensors.index.json", "{\"weight_map\"", 13);
	refused(&table, SP_EXTEND_NO, SP_ERR_FORMAT, "model.safetensors.index.json:1: ");
}

static void a_directory_without_weights_is_named(void **state)
{
	(void)state;
	remove(scratch_path("model.safetensors"));
	remove(scratch_path("model.safetensors.index.json"));
	refused(&table, SP_EXTEND_NO, SP_ERR_IO, "neither model.safetensors nor model.safetensors.index.json is there");
	scratch_write("pytorch_model.bin", "x", 1);
	refused(&table, SP_EXTEND_NO, SP_ERR_IO, "there is only a pytorch_model.bin");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_naming_fills_every_parameter),
		cmocka_unit_test(what_is_derived_is_passed_over_in_silence),
		cmocka_unit_test(what_the_files_have_is_known_by_its_name_here),
		cmocka_unit_test(missing_heads_keep_their_values_and_are_named),
		cmocka_unit_test(what_has_no_place_is_named_as_often_as_fits),
		cmocka_unit_test(positions_are_repeated_or_stretched),
		cmocka_unit_test(one_position_can_be_stretched),
		cmocka_unit_test(another_shape_is_refused_by_name),
		cmocka_unit_test(missing_doubled_and_unreadable_tensors_are_refused_by_name),
		cmocka_unit_test(several_files_are_one_model),
		cmocka_unit_test(an_index_that_lies_is_refused_by_name),
		cmocka_unit_test(a_directory_without_weights_is_named),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
