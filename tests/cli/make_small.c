/* Writes a small model directory in Hugging Face's layout: make_small DIR POSITIONS HEADS, with values drawn at random
 * and a vocabulary of letters and some words. HEADS: 2 with both heads, 1 without that of sentence order, 0 with none. */
#include "config.h"

#include "base/rng.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/safetensors.h"
#include "model/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char words[] =
	"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\ndog\nsat\non\nmat\n##s\n.\n,\n!\na\nb\nc\nd\ne\nf\n";
enum { WORDS = 21, MOST = 128 };

static int put(const char *dir, const char *name, const void *bytes, size_t size)
{
	char path[1024];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *file = fopen(path, "wb");
	if (!file)
		return 1;
	const int bad = fwrite(bytes, 1, size, file) != size;
	return fclose(file) != 0 || bad;
}

static void draw(const struct sp_parameters *table, float *values)
{
	struct sp_rng rng;
	sp_rng_start(&rng, 11, SP_RNG_INIT, 0, 0);
	for (int i = 0; i < table->count; i++)
		for (int64_t j = 0; j < table->entry[i].rows * table->entry[i].cols; j++)
			values[table->entry[i].offset + j] = (float)(table->entry[i].mean + 0.4 * sp_rng_normal(&rng));
}

static int put_weights(const char *dir, const struct sp_parameters *table, const float *values, int heads)
{
	struct sp_tensor_entry entry[MOST];
	const float *from[MOST];
	void *head;
	size_t head_size;
	uint64_t size;
	int count = 0;
	for (int i = 0; i < table->count; i++) {
		const struct sp_parameter *p = &table->entry[i];
		if (count == MOST || (heads == 0 && strncmp(p->name, "cls.", 4) == 0))
			continue;
		from[count] = values + p->offset;
		entry[count] = (struct sp_tensor_entry){ p->name, SP_TENSOR_F32, p->rows > 1 ? 2 : 1 };
		entry[count].shape[0] = p->rows > 1 ? p->rows : p->cols;
		entry[count++].shape[1] = p->rows > 1 ? p->cols : 0;
	}
	if (sp_safetensors_head(entry, count, NULL, &head, &head_size, &size))
		return 1;
	char *bytes = calloc(1, (size_t)size);
	if (!bytes)
		return 1;
	memcpy(bytes, head, head_size);
	for (int i = 0; i < count; i++)
		sp_tensor_encode(SP_TENSOR_F32, from[i], entry[i].elements, bytes + entry[i].begin);
	const int bad = put(dir, "model.safetensors", bytes, (size_t)size);
	free(bytes);
	free(head);
	return bad;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	const int heads = atoi(argv[3]);
	const struct sp_model_config config = {
		.layers = 2,
		.hidden = 16,
		.heads = 2,
		.intermediate = 24,
		.vocab_size = WORDS,
		.max_positions = atoi(argv[2]),
		.activation = SP_ACT_GELU,
		.dropout = 0.1F,
		.attention_dropout = 0.1F,
		.layer_norm_eps = 1e-12F,
		.sentence_order = heads == 2,
	};
	struct sp_parameters table;
	char *text = NULL;
	if (sp_parameters_create(&config, &table))
		return 1;
	float *values = calloc((size_t)table.elements, sizeof *values);
	if (!values)
		return 1;
	draw(&table, values);
	int bad = sp_hf_config_text(&config, 0, "float32", &text) != 0;
	bad = bad || put(argv[1], "config.json", text, strlen(text));
	bad = bad || put(argv[1], "vocab.txt", words, sizeof words - 1);
	bad = bad || put_weights(argv[1], &table, values, heads);
	free(text);
	free(values);
	sp_parameters_destroy(&table);
	return bad;
}
