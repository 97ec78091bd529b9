/* One transformer layer: attention and feed-forward blocks, each closed by a norm joint. May include: attention, layers.
 *
 * The stream between layers has two views: `y`, what the next block reads, and `residual`, what it adds to. In a post-LN
 * model they are the same. */
#ifndef SP_MODEL_ENCODER_H
#define SP_MODEL_ENCODER_H

#include "attention/attention.h"
#include "base/cut.h"
#include "layers/mlp.h"
#include "layers/norm.h"
#include "model/bind.h"
#include "model/rows.h"

struct sp_stream {
	struct sp_matrix y, residual; /* (T, H) */
};

/* What a rank holds of a layer: features of the stream, and of what tensor ranks share. */
struct sp_encoder_widths {
	enum sp_dtype element; /* of activations and their gradients */
	int64_t hidden;
	int64_t heads, attention; /* own heads, and their features together */
	int64_t intermediate;
	int64_t scores; /* columns of the rows of scores that attention keeps; 0: none */
	int64_t kept;   /* other elements that it keeps; 0: none */
	int64_t least_intermediate, most_attention; /* of all tensor ranks */
	int64_t tile; /* rows that the MLP is done for at a time where what it computes is not kept */
};

/* Enough rows for products at full speed, few against those of a long sequence. */
enum { SP_ENCODER_TILE = 2048 };
struct sp_encoder_widths sp_encoder_widths(const struct sp_model_config *config, const struct sp_model_part *part);

struct sp_encoder_layer {
	int64_t index;
	/* set before all else */
	int pre_norm;
	int open; /* pre-LN: ends with the sum, which whoever goes on norms; then joint_mlp has neither norm nor y */
	float attention_dropout;
	/* the layout's: */
	int again;           /* nothing is kept but the stream */
	struct sp_cut tiles; /* of the rows, for the MLP; one if its buffers are kept */
	int64_t room;        /* rows of the largest there is room for */
	/* Of the rows that are read so many at a time, and in all, whatever is kept. Alike on all tensor ranks, which sum them. */
	int64_t most_read, reads;
	struct sp_dense_weights qkv; /* (3 H, H) */
	struct sp_weight projection; /* (H, H); its bias belongs to `joint_attention` */
	struct sp_weight sequence_key, sequence_value; /* if attention projects; may be one */
	struct sp_attention_state attention;
	struct sp_norm_layer joint_attention;
	struct sp_mlp_layer mlp;
	struct sp_norm_layer joint_mlp;
};

/* Gradients of activations, scratch shared by all layers. */
struct sp_encoder_scratch {
	struct sp_matrix dy;   /* (T, H): gradient of the stream's y, in and out; behind an open layer: in, of its residual */
	struct sp_matrix dsum; /* (T, H): of the stream's residual where that is not y (pre-LN), in and out; else nothing */
	struct sp_matrix dx;   /* (T, H) */
	/* These have no data if the MLP of a layer is wide enough for them: when its backward is done, its buffers are free. Nor where
	 * nothing is kept but the stream. */
	struct sp_matrix dout; /* (T, H) of own heads */
	struct sp_matrix dqkv; /* (T, 3 H) */
	/* (3 T, H), only there: what attention's joint has been lent, and dx; all are used up when dqkv is made, in their place. */
	struct sp_matrix three;
};

/* Weights of layer `index`. The norm that closes the MLP belongs, in a pre-LN model, to the next layer or is the last;
 * an open layer has none. */
void sp_encoder_layer_bind(struct sp_encoder_layer *layer, const struct sp_binding *b, const struct sp_model_config *config,
                           int64_t index);

/* Carves what is kept from forward for backward, for B samples of C tokens. */
int sp_encoder_layer_layout(struct sp_encoder_layer *layer, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                            int64_t batch, int64_t chunk, enum sp_recompute recompute);
/* Carves what is not kept, once for all layers, and lets a layer use it. `lent` is all zero but for pre_norm. What a pre-LN
 * layer has in joint_mlp.y when the stream alone is kept outlives the layer: its place is the caller's to give. */
int sp_encoder_layer_layout_lent(struct sp_encoder_layer *lent, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                                 int64_t batch, int64_t chunk, enum sp_recompute recompute,
                                 const struct sp_encoder_scratch *scratch);
void sp_encoder_layer_borrow(struct sp_encoder_layer *layer, const struct sp_encoder_layer *lent,
                             enum sp_recompute recompute);

/* All of these, wherever they lie, are from now on of samples of `chunk` tokens, at most as many as they were laid out for. */
void sp_encoder_layer_fit(struct sp_encoder_layer *layer, const struct sp_encoder_widths *widths, int64_t batch, int64_t chunk);

/* Buffers of a forward pass that no backward follows: one set, which every layer writes anew. */
struct sp_encoder_shared {
	struct sp_matrix stream, sum, normed; /* (T, H) */
	struct sp_matrix mean, rstd;          /* (1, T) */
	struct sp_matrix qkv, o;              /* (T, 3 H), (T, H) */
	struct sp_matrix lse;                 /* (B A, C) */
	struct sp_matrix scores;              /* (B A C, S), if attention keeps them */
	struct sp_matrix kept;                /* what attention keeps beside that */
	struct sp_cut tiles;
	struct sp_matrix pre, hidden;         /* (rows of a tile, I), in the place of qkv and o */
};

/* What outlives a layer, then what does not. */
int sp_encoder_shared_layout(struct sp_encoder_shared *shared, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                             int64_t rows);
int sp_encoder_shared_layout_inner(struct sp_encoder_shared *shared, struct sp_arena *arena,
                                   const struct sp_encoder_widths *widths, int64_t batch, int64_t chunk);
/* Instead of sp_encoder_layer_layout. The first layer reads `stream`, and in a pre-LN model `normed`. */
void sp_encoder_layer_share(struct sp_encoder_layer *layer, const struct sp_encoder_shared *shared);

/* Where a kind of attention takes float32 and activations are something else, what it reads and gives is converted, for one
 * layer at a time. All (T, ...) of own heads; forward only: not the gradients. */
struct sp_encoder_wide {
	struct sp_matrix qkv, o, dout, dqkv;
};

/* What attention, and whoever sums over ranks, needs of the model at large. */
struct sp_encoder_attention {
	const struct sp_attention_variant *variant;
	void *work;
	const int32_t *doc;
	const uint8_t *whole;   /* as in struct sp_attention_call */
	const int32_t *length;  /* [batch], host; if attention projects */
	struct sp_attention_globals globals; /* if it has any */
	const int32_t *position; /* [T] of own tokens, within their documents */
	double rope_base;        /* 0: queries and keys are as they are projected; else rotated by position */
	const uint32_t *sample; /* [batch] sample * tensor ranks + own one: with the own heads, the coordinates of dropout */
	struct sp_comm *tensor; /* ranks that share the weights of a layer; NULL: this one holds them all */
	struct sp_compute *compute;
	struct sp_encoder_wide wide; /* where the kind does not take activations as they are */
};

int sp_encoder_wide_layout(struct sp_encoder_wide *wide, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                           int64_t rows, int forward_only);

/* Carves it, but for dy and dsum. */
int sp_encoder_scratch_layout(struct sp_encoder_scratch *scratch, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                              int64_t rows, enum sp_recompute recompute);

/* Whether so many rows, those that are read, are few enough to be worked on alone, in the MLP's buffers. */
int sp_encoder_layer_reads(const struct sp_encoder_layer *layer, int64_t rows);

/* y becomes its sum over the tensor ranks. y packed. */
int sp_encoder_tensor_sum(const struct sp_encoder_attention *attention, struct sp_matrix y);

/* Of an open layer only the residual. */
struct sp_stream sp_encoder_layer_out(const struct sp_encoder_layer *layer);

/* `read`, if not NULL: the rows of the output that matter; the others are finite numbers without meaning, the gradients
 * that come back to them must be 0. Its room is the layer's to choose. */
int sp_encoder_layer_forward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                             const struct sp_encoder_attention *attention, struct sp_stream in,
                             const struct sp_read_rows *read);
/* What was not kept of attention, again, before the layer's backward; `in`, `ctx` and `read` as in its forward. What the MLP has not
 * kept its backward makes again. */
int sp_encoder_layer_again(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                           const struct sp_encoder_attention *attention, struct sp_stream in, const struct sp_read_rows *read,
                           enum sp_recompute recompute);
/* `first_sum` is nonzero when nothing has reached the residual past the closing norm yet (last layer, open layer). */
int sp_encoder_layer_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                              const struct sp_encoder_attention *attention, struct sp_stream in,
                              const struct sp_read_rows *read, const struct sp_encoder_scratch *scratch, int first_sum);

#endif
