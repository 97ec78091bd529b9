/* Which part of a model a rank holds. May include: base, model/config.h. */
#ifndef SP_MODEL_PART_H
#define SP_MODEL_PART_H

#include "model/config.h"

#include <stdint.h>

/* What part of a model a rank holds. All zero: the whole. */
struct sp_model_part {
	int tensor, tensors; /* which of how many cuts along the weights' rows or columns (Shoeybi et al. 2019) */
	int stage, stages;   /* which of how many stages of a pipeline: the first has the embeddings, the last the heads */
	int pieces;          /* how many runs of layers a stage holds (Narayanan et al. 2021), all of equal length if more than
	                        one; 0 is 1 */
};

/* The layers are cut into stages x pieces runs; piece i of stage s is run i * stages + s. */
int sp_part_stages(const struct sp_model_part *part); /* 1 or more, as the next */
int sp_part_pieces(const struct sp_model_part *part);
int sp_part_is_first(const struct sp_model_part *part); /* holds the embeddings: as piece 0 */
int sp_part_is_last(const struct sp_model_part *part);  /* holds the heads: behind its last piece */

/* Layers [first, end) of the whole model. */
struct sp_layer_range {
	int64_t first, end;
};
/* Runs as equal in work as whole layers allow, the embeddings and the heads (on one token in seven) counted with the
 * first and the last. Every run has a layer if there are layers for it: sp_part_check. */
struct sp_layer_range sp_part_layers(const struct sp_model_part *part, const struct sp_model_config *config, int piece);
/* SP_ERR_SETTING, logged, if the model cannot be cut like this. */
int sp_part_check(const struct sp_model_part *part, const struct sp_model_config *config);

/* How tensor rank `tensor` of `tensors` shares n columns, or rows: [first, end). */
int64_t sp_part_first(const struct sp_model_part *part, int64_t n);
int64_t sp_part_end(const struct sp_model_part *part, int64_t n);
int64_t sp_part_size(const struct sp_model_part *part, int64_t n);

#endif
