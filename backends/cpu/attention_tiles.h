/* How the two steps of attention cut their work into tiles, and what a thread holds of it.
 * May include: cpu/{attention,cpu}.h.
 *
 * Queries that may attend to nothing, padding or what nobody reads, are left out: the others are listed, sample by sample.
 * What passes by again and again, keys in forward and queries in backward, is packed once and held: a stretch of it at a
 * time, so that the memory held does not grow with the sequence. */
#ifndef SP_CPU_ATTENTION_TILES_H
#define SP_CPU_ATTENTION_TILES_H

#include "cpu/attention.h"
#include "cpu/cpu.h"

/* What a step derives from its shape. */
struct sp_cpu_tiling {
	const struct sp_attention_shape *shape;
	const struct sp_cpu_kernels *kernels;
	int backward;
	int rows, columns;            /* the kernels' block */
	int pairs;                    /* operands are packed as pairs of bfloat16 */
	int64_t depth, width;         /* head_dim, or its pairs; head_dim, padded */
	int64_t ahead;                /* how much more a query's position is than that of the key of the same number */
	int64_t queries, keys;        /* most rows of a tile, padded */
	int64_t key_rows;             /* keys, padded also for products with the keys on the left */
	int64_t held, tiles;          /* most rows that are held, and tiles they make */
	int64_t stride;               /* of score rows */
	int64_t parts;                /* query parts of a head (forward), or its query and key parts (backward) */
	int64_t query_part, key_part; /* rows of a part */
	float kept;                   /* 65536 / keep */
	int64_t most;                 /* queries listed of a sample, at most */
	int64_t list;                 /* room for those of one */
	/* Once it is reserved: [batch][list] tokens of a sample, ascending, then 0; [batch] how many; the threads' memory. */
	const int32_t *listed, *listed_count;
	char *memory;
	size_t each; /* of it, a thread's */
};

/* One thread's packed copies; NULL where a step needs none. Score rows have room for one block more than the keys, as a
 * product with the keys on the left may read that far. Held are k and v in forward, q, dout, acc, first and second in
 * backward: tile after tile, `ready` telling which have been packed. */
struct sp_cpu_tile_buffers {
	float *staging, *q, *dout, *acc; /* acc: dq in backward */
	float *k, *v, *k_panels, *dk, *dv;
	float *p, *ds;
	float *first, *second; /* m and l, or lse and dots */
	int32_t *query_doc, *key_doc;
	uint16_t *half;
	char *ready;
};

/* A head's block of keys, tokens [first, first + n) of sample `b`, or of queries, the n listed ones at `token`. */
struct sp_cpu_block {
	int64_t b, a, first, n, padded;
	const int32_t *token; /* NULL: keys */
	const int32_t *doc;   /* of the sample's tokens from `first` on; of queries first is 0 */
	int32_t low, high;    /* of the ids that are not negative; low > high if there is none */
	int whole;            /* no id is negative */
};

/* narrow: all that the step reads of tokens is bfloat16. */
struct sp_cpu_tiling sp_cpu_tiling_forward(const struct sp_cpu *cpu, const struct sp_attention_shape *shape, int narrow);
struct sp_cpu_tiling sp_cpu_tiling_backward(const struct sp_cpu *cpu, const struct sp_attention_shape *shape, int narrow);
/* Lists the queries and takes memory for all threads, from the backend's scratch. SP_ERR_MEMORY. */
int sp_cpu_tiling_reserve(struct sp_cpu *cpu, struct sp_cpu_tiling *g);
/* Those of the calling thread of the team. */
struct sp_cpu_tile_buffers sp_cpu_tiling_buffers(const struct sp_cpu_tiling *g);
/* Only the thread that called the operation may enter the communication library. */
void sp_cpu_tiling_poll(const struct sp_attention_shape *shape);

/* Of either side, what the window lets some of the other reach; without one that is all. */
struct sp_cpu_reach {
	int64_t first, end;
};

/* Keys that the queries listed at [first, end) can reach; of those queries, which can reach keys [key, end_key). */
struct sp_cpu_reach sp_cpu_reach_keys(const struct sp_cpu_tiling *g, int64_t b, int64_t first, int64_t end);
struct sp_cpu_reach sp_cpu_reach_queries(const struct sp_cpu_tiling *g, int64_t b, int64_t first, int64_t end, int64_t key,
                                         int64_t end_key);

/* The queries listed at [first, first + n); the keys there. */
struct sp_cpu_block sp_cpu_block_queries(const struct sp_cpu_tiling *g, int64_t b, int64_t a, int64_t first, int64_t n);
struct sp_cpu_block sp_cpu_block_keys(const struct sp_cpu_tiling *g, int64_t b, int64_t a, int64_t first, int64_t n);
int sp_cpu_block_can_meet(const struct sp_cpu_tiling *g, const struct sp_cpu_block *q, const struct sp_cpu_block *k);
/* What kernels need to know of the two, masks among it if they do not meet as wholes. */
struct sp_cpu_attention_tile sp_cpu_block_tile(const struct sp_cpu_tiling *g, const struct sp_cpu_tile_buffers *w,
                                               const struct sp_cpu_block *q, const struct sp_cpu_block *k);
/* Where the block's rows begin, or those of its sample if they are listed, in a matrix of (B tokens, A D), and in one of
 * (B A, tokens). */
void *sp_cpu_block_features(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                            const struct sp_cpu_block *block);
float *sp_cpu_block_statistics(const struct sp_cpu_tiling *g, const struct sp_matrix *m, const struct sp_cpu_block *block);
/* Its rows of m, times the factor unless they are pairs, as they stand left of a product over features, right of one (the room, of a
 * block, is overwritten), and right of one over rows. */
void sp_cpu_block_pack_left(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                            const struct sp_cpu_block *block, float factor, float *y);
void sp_cpu_block_pack_turned(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                              const struct sp_cpu_block *block, float *room, float *y);
void sp_cpu_block_pack_right(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                             const struct sp_cpu_block *block, float factor, float *y);
/* y = factor times its rows of m, as panels; and back from panels of `padded` rows, or added, to float32. */
void sp_cpu_block_pack(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                       const struct sp_cpu_block *block, float factor, float *y);
void sp_cpu_block_unpack(const struct sp_cpu_tiling *g, const float *x, int64_t padded, float factor, int add,
                         const struct sp_matrix *m, int64_t tokens, const struct sp_cpu_block *block);
/* x[first .. end - 1] = value. */
void sp_cpu_fill(float *x, int64_t first, int64_t end, float value);

#endif
