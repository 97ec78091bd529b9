/* Text to the ids a model is given: [CLS], the text's tokens, [SEP]. May include: use/use.h. */
#ifndef SP_USE_TOKENS_H
#define SP_USE_TOKENS_H

#include "use/use.h"

/* Appends [CLS] text [SEP]. [MASK], [CLS], [SEP], [UNK] and [PAD], written so, stand for themselves wherever they are in
 * the text, as in Hugging Face's BertTokenizer; the text between them is cut into words and pieces. SP_ERR_MEMORY. */
int sp_use_tokens(struct sp_use *use, const char *text, size_t size, struct sp_ids *ids);

/* Bytes of a text that are not UTF-8: tokenizing leaves them out. */
int64_t sp_use_invalid(const char *text, size_t size);

/* Gives rank 0's ids to all ranks, unless rank 0 comes with an error, which all then return. Collective. */
int sp_use_share(struct sp_use *use, int status, struct sp_ids *ids);

#endif
