/* Token files in Megatron's indexed format (MMIDIDX version 1): PREFIX.bin holds the ids of all sentences one after
 * the other, PREFIX.idx says where each sentence and document begins. May include: base.
 *
 * PREFIX.idx, little-endian: "MMIDIDX\0\0" (9 bytes), uint64 version = 1, uint8 dtype, uint64 sentences, uint64
 * entries of doc_idx (documents + 1), int32 sizes[sentences] in tokens, int64 pointers[sentences] in bytes, int64
 * doc_idx[documents + 1]: document d holds the sentences doc_idx[d] .. doc_idx[d + 1] - 1. */
#ifndef SP_DATA_INDEXED_H
#define SP_DATA_INDEXED_H

#include <stddef.h>
#include <stdint.h>

/* The dtypes understood, by their code in the file. */
enum sp_indexed_dtype { SP_INDEXED_INT32 = 4, SP_INDEXED_UINT16 = 8 };

/* --- Reading: files are mapped, never copied; an open set may be read by several threads. */

struct sp_indexed;

/* Opens PREFIX.idx and PREFIX.bin and checks them: header, counts, sizes against pointers against the length of
 * PREFIX.bin, doc_idx rising from 0 to the number of sentences. Sentences and documents may be empty. SP_ERR_IO,
 * SP_ERR_FORMAT, SP_ERR_MEMORY, all logged with file, place and remedy. */
int sp_indexed_open(const char *prefix, struct sp_indexed **indexed);
/* The same checks on two files in memory, which must outlive *indexed; `name` stands for PREFIX in messages. */
int sp_indexed_parse(const char *name, const void *idx, size_t idx_size, const void *bin, size_t bin_size,
                     struct sp_indexed **indexed);
void sp_indexed_close(struct sp_indexed *x); /* NULL accepted */

int64_t sp_indexed_documents(const struct sp_indexed *x);
int64_t sp_indexed_sentences(const struct sp_indexed *x);
int64_t sp_indexed_tokens(const struct sp_indexed *x);

/* First sentence of document d; d = documents gives the number of sentences, so document d holds the sentences
 * first(d) .. first(d + 1) - 1. 0 <= d <= documents. */
int64_t sp_indexed_document_first(const struct sp_indexed *x, int64_t d);

/* Tokens of sentence i. 0 <= i < sentences. */
int32_t sp_indexed_size(const struct sp_indexed *x, int64_t i);
/* Ids of sentence i as they lie in the file (uint16_t or int32_t as the dtype says, not aligned for int32_t); *size in
 * tokens. */
const void *sp_indexed_raw(const struct sp_indexed *x, int64_t i, enum sp_indexed_dtype *dtype, int32_t *size);
/* Copies tokens first .. first + count - 1 of sentence i to `ids`. The range must lie within the sentence. */
void sp_indexed_read(const struct sp_indexed *x, int64_t i, int32_t first, int32_t count, int32_t *ids);

/* The largest id of the whole file (-1 if there are no tokens): reads all of it. SP_ERR_FORMAT if one is negative. */
int sp_indexed_max_id(const struct sp_indexed *x, int32_t *max_id);

/* --- Writing: to temporary names beside the final ones, renamed by finish, so no partial file has the final name. */

struct sp_indexed_writer;

/* Creates the temporary files. SP_ERR_IO (logged) if the directory is missing or not writable. */
int sp_indexed_writer_open(const char *prefix, enum sp_indexed_dtype dtype, struct sp_indexed_writer **writer);
/* One sentence: `count` ids, raw in the writer's dtype (aligned as such). */
int sp_indexed_writer_sentence(struct sp_indexed_writer *w, const void *ids, int32_t count);
/* Ends the document that the sentences since the last call make up. */
int sp_indexed_writer_document(struct sp_indexed_writer *w);
/* Writes the index, flushes both files to disk and gives them their final names, replacing older ones. Sentences after
 * the last document become one of their own. The writer is to be closed afterwards, whatever happened. */
int sp_indexed_writer_finish(struct sp_indexed_writer *w);
/* Frees everything; without a finish that succeeded the temporary files are removed. NULL accepted. */
void sp_indexed_writer_close(struct sp_indexed_writer *w);

#endif
