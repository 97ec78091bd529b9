/* make_model DIR KIND: writes a small model of fixed values in Hugging Face's layout to the existing directory DIR.
 * KIND: plain, pre (pre-LN), old (names of former times), shards (two files), headless (no heads, one tensor of another
 * task), large (a number beyond fp16), strange (a number that is none), other (a vocabulary of another model). */
#include "config.h"

#include "base/log.h"
#include "checkpoint/hf_config.h"
#include "unit/checkpoint/model_files.h"

#include <math.h>
#include <string.h>

static struct model_file file;

static int old(const char *name, char *other)
{
	const char *norm = strstr(name, "LayerNorm.");
	if (strncmp(name, "bert.", 5) == 0)
		name += 5;
	strcpy(other, name);
	if (norm)
		sprintf(other, "%.*s%s", (int)(norm + 10 - name), name, strstr(norm, "weight") ? "gamma" : "beta");
	return 1;
}

static int encoder(const char *name, char *other)
{
	(void)other;
	return strncmp(name, "cls.", 4) != 0;
}

static int part(const char *name, int first)
{
	return (strstr(name, "layer.0.") != NULL) == first;
}

static int first_part(const char *name, char *other)
{
	(void)other;
	return part(name, 1);
}

static int second_part(const char *name, char *other)
{
	(void)other;
	return part(name, 0);
}

static void write_shards(const struct sp_parameters *table, const float *values)
{
	char index[16384] = "{\"weight_map\": {";
	model_file_fill(&file, table, values, first_part);
	model_file_write(&file, "model-1.safetensors");
	model_file_fill(&file, table, values, second_part);
	model_file_write(&file, "model-2.safetensors");
	for (int i = 0; i < table->count; i++) {
		const size_t used = strlen(index);
		snprintf(index + used, sizeof index - used, "%s\"%s\": \"model-%d.safetensors\"", i ? ", " : "",
		         table->entry[i].name, part(table->entry[i].name, 1) ? 1 : 2);
	}
	strcat(index, "}}");
	scratch_write("model.safetensors.index.json", index, strlen(index));
}

static void write_weights(const struct sp_parameters *table, float *values, const char *kind)
{
	if (strcmp(kind, "shards") == 0) {
		write_shards(table, values);
		return;
	}
	if (strcmp(kind, "large") == 0)
		values[sp_parameters_find(table, "bert.encoder.layer.1.output.dense.bias")->offset + 3] = -1e5f;
	if (strcmp(kind, "strange") == 0)
		values[sp_parameters_find(table, "cls.predictions.bias")->offset] = NAN;
	model_file_fill(&file, table, values, strcmp(kind, "old") == 0 ? old : strcmp(kind, "headless") == 0 ? encoder : NULL);
	if (strcmp(kind, "headless") == 0)
		model_file_add(&file, "classifier.weight", 2, 8, values);
	model_file_write(&file, "model.safetensors");
}

static void write_vocab(int tokens)
{
	char text[512] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
	for (int i = 5; i < tokens; i++)
		sprintf(text + strlen(text), "%c\n", 'a' + i - 5);
	scratch_write("vocab.txt", text, strlen(text));
}

int main(int argc, char **argv)
{
	struct sp_model_config config = {
		.layers = 2, .hidden = 32, .heads = 2, .intermediate = 48, .vocab_size = 20, .max_positions = 16, .dropout = 0.1f,
		.attention_dropout = 0.1f, .layer_norm_eps = 1e-12f, .activation = SP_ACT_GELU, .sentence_order = 1,
	};
	struct sp_parameters table;
	char *text = NULL;
	if (argc != 3)
		return 2;
	snprintf(scratch, sizeof scratch, "%s", argv[1]);
	config.pre_norm = strcmp(argv[2], "pre") == 0;
	if (sp_parameters_create(&config, &table) || sp_hf_config_text(&config, 0, "float32", &text))
		return 1;
	float *values = malloc((size_t)table.elements * sizeof *values);
	if (!values)
		return 1;
	sp_parameters_init(&table, 5, values);
	write_weights(&table, values, argv[2]);
	write_vocab(strcmp(argv[2], "other") == 0 ? 21 : 20);
	scratch_write("config.json", text, strlen(text));
	free(values);
	free(text);
	sp_parameters_destroy(&table);
	return 0;
}
