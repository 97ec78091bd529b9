/* What Hugging Face's AutoTokenizer wants beside vocab.txt. May include: base, data/vocab.h, jansson. */
#ifndef SP_CHECKPOINT_TOKENIZER_FILES_H
#define SP_CHECKPOINT_TOKENIZER_FILES_H

#include "data/vocab.h"

#include <stdint.h>

/* The texts of tokenizer_config.json (BertTokenizer, do_lower_case = !cased, the longest input) and
 * special_tokens_map.json; the caller's to free. SP_ERR_MEMORY, logged. */
int sp_tokenizer_config_text(int cased, int64_t max_positions, char **text);
int sp_tokenizer_special_text(char **text);

/* Whether text is to be lower-cased before it is looked up: do_lower_case of DIR/tokenizer_config.json if there is such
 * a file, else (or dir NULL) cased if the vocabulary holds a token with an upper-case letter, which no other could ever match.
 * SP_ERR_IO, SP_ERR_FORMAT, logged. */
int sp_tokenizer_cased(const char *dir, const struct sp_vocab *vocab, int *cased);

#endif
