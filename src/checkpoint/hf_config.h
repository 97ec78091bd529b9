/* A model's shape as Hugging Face's config.json: BertConfig (post-LN), MegatronBertConfig (pre-LN). A model that projects
 * sequences (linformer), sees neighbours alone (window), or has rotary positions, which transformers has not, gets a model_type of its own, so that it is not
 * loaded as a BERT. May include: base, model/config.h, jansson. */
#ifndef SP_CHECKPOINT_HF_CONFIG_H
#define SP_CHECKPOINT_HF_CONFIG_H

#include "model/config.h"

#include <stddef.h>

/* Reads DIR/config.json. Refused by name, with what seqpar can do: another model_type, relative positions, decoders,
 * an untied word table, an activation that is not GELU, type_vocab_size other than 2, sizes that contradict each other.
 * sentence_order is set if the architecture has the head. SP_ERR_IO, SP_ERR_FORMAT, logged. */
int sp_hf_config_read(const char *dir, struct sp_model_config *config);
/* The same from `size` bytes of memory; `name` stands for the file in messages. */
int sp_hf_config_parse(const char *name, const char *text, size_t size, struct sp_model_config *config);

/* The text of config.json for a model whose weights are of `dtype` ("float32", "float16", "bfloat16"); pad: id of
 * [PAD]. The caller's to free. SP_ERR_MEMORY, logged. */
int sp_hf_config_text(const struct sp_model_config *config, int pad, const char *dtype, char **text);

#endif
