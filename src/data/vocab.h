/* A WordPiece vocabulary: vocab.txt, one token a line, the line's number (from 0) is the id. May include: base.
 *
 * A vocabulary is read once and never changes, so threads may share it. */
#ifndef SP_DATA_VOCAB_H
#define SP_DATA_VOCAB_H

#include <stddef.h>
#include <stdint.h>

/* Tokens that every vocabulary must hold; their ids are looked up by name, not fixed. */
enum sp_special { SP_PAD = 0, SP_UNK, SP_CLS, SP_SEP, SP_MASK, SP_SPECIALS };

struct sp_vocab;

/* Reads and checks `path`. SP_ERR_IO: cannot be read; SP_ERR_FORMAT: empty, cut short (no newline at the end), an
 * empty or repeated line, a special token missing; SP_ERR_MEMORY. All logged with file, line and remedy. */
int sp_vocab_read(const char *path, struct sp_vocab **vocab);
/* The same from `size` bytes of memory, copied; `name` stands for the file in messages. */
int sp_vocab_parse(const char *name, const char *text, size_t size, struct sp_vocab **vocab);
void sp_vocab_free(struct sp_vocab *v); /* NULL accepted */

/* Number of tokens; ids are 0 .. size - 1. */
int32_t sp_vocab_size(const struct sp_vocab *v);
int32_t sp_vocab_special(const struct sp_vocab *v, enum sp_special which);
/* The name of a special token: "[PAD]" ... */
const char *sp_vocab_special_name(enum sp_special which);
/* The token of `id` (0 <= id < size), ended by a zero byte, owned by the vocabulary. */
const char *sp_vocab_token(const struct sp_vocab *v, int32_t id);
/* 1 if the token of `id` begins with "##": it goes on with the word of the token before it. */
int sp_vocab_continues(const struct sp_vocab *v, int32_t id);

/* 1 if a token other than [PAD] and its like holds a capital letter, which text in lower case could never match. */
int sp_vocab_has_capitals(const struct sp_vocab *v);

/* The id of a token of `size` bytes, or -1. */
int32_t sp_vocab_find(const struct sp_vocab *v, const char *token, size_t size);

/* Lookup by a hash that grows byte by byte, so that all beginnings of a word are hashed in one pass. */
#define SP_VOCAB_HASH_START UINT64_C(0xcbf29ce484222325)
static inline uint64_t sp_vocab_hash_byte(uint64_t hash, unsigned char byte)
{
	return (hash ^ byte) * UINT64_C(0x100000001b3); /* FNV-1a */
}
/* The id of the token made of `prefix` and `token` (prefix "" or "##") whose bytes hash to `hash`, or -1. */
int32_t sp_vocab_find_hashed(const struct sp_vocab *v, uint64_t hash, const char *prefix, const char *token,
                             size_t size);
/* Bytes of the longest token. */
size_t sp_vocab_longest(const struct sp_vocab *v);

#endif
