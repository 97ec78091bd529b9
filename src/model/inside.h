/* The model as its own files see it. May include: what model.h may. */
#ifndef SP_MODEL_INSIDE_H
#define SP_MODEL_INSIDE_H

#include "layers/embedding.h"
#include "layers/mlm_head.h"
#include "layers/order_head.h"
#include "model/encoder.h"
#include "model/model.h"

/* Sums in device memory, in one block so that they are zeroed and read at once. */
struct sp_model_device_sums {
	double mlm, order;
	int64_t correct, ordered;
};

/* What a micro-batch leaves in a piece between forward and backward, and the weights it met there. */
struct sp_model_slot {
	struct sp_embedding_layer embedding; /* where the model begins */
	struct sp_norm_layer entry;          /* pre-LN: the first layer's norm, on what enters; its s is not set */
	struct sp_encoder_layer *layer;
};

/* Layers that follow one another here. */
struct sp_model_piece {
	struct sp_layer_range layers; /* numbers in the whole model */
	int begins, ends;             /* the model: here are the embeddings, the heads */
	int slots;
	struct sp_model_slot *slot;
	struct sp_matrix *entrance; /* [slots + 1], unless `begins` */
};

struct sp_model {
	struct sp_compute *compute;
	struct sp_model_options options;
	struct sp_parameters parameters;
	float *values, *gradients;
	void *factors; /* copies of the values that products are made with; NULL: the values */
	struct sp_arena arena;
	struct sp_model_memory memory;
	struct sp_model_device_sums *sums; /* device */

	struct sp_model_piece *piece;
	int pieces;
	struct sp_mlm_head mlm;
	struct sp_order_head order;
	struct sp_matrix stream_gradient[SP_MODEL_STREAM_GRADIENTS]; /* without other stages only the first */
	struct sp_encoder_scratch scratch;                           /* its dy: one of these */
	struct sp_encoder_layer lent;    /* with recomputation: what layers do not keep */
	struct sp_matrix normed[2];      /* and what enters a pre-LN layer, of those with even and with odd numbers */
	struct sp_encoder_shared shared; /* instead of kept activations and scratch when forward_only */
	struct sp_encoder_attention attention;
	const struct sp_attention_variant *full; /* of layers that meet all tokens among others that do not; else NULL */
	void *full_work;                         /* in the same memory as the others' */
	struct sp_encoder_widths widths;
	struct sp_embedding_parts words; /* with several tensor ranks */
	struct sp_model_repeated *repeated; /* NULL: no layer is queued as a graph */
};

int sp_model_tensors(const struct sp_model *m); /* 1 or more */
/* The norms before a pre-LN model's layers are made again, rather than kept. */
int sp_model_renorms(const struct sp_model *m);

/* ---- repeated.c: layers whose operations are the same in each step ---- */

/* If options.graphs asks for it; after the model was laid out. */
int sp_model_repeated_open(struct sp_model *m);
void sp_model_repeated_close(struct sp_model *m);
/* For the dropout of a pass: its keys on their way to the device. NULL where each operation is given its own. */
int sp_model_repeated_keys(struct sp_model *m, const struct sp_pass *pass, const uint32_t **keys);
/* Where the work of a layer begins, and what it works on besides what its piece, slot and number say. */
struct sp_model_repeated_work {
	int backward, piece, slot;
	int64_t layer;
	struct sp_stream in;
	const void *gradient; /* of the stream; backward */
	const struct sp_rows *rows;
};
/* queue(context), which queues that work and does nothing else, or its graph. */
int sp_model_repeated_queue(const struct sp_model *m, const struct sp_model_repeated_work *work, int (*queue)(const void *context),
                            const void *context);

/* ---- layout.c ---- */

/* Pieces, slots and the table of parameters; no device memory. */
int sp_model_prepare(struct sp_model *m, const struct sp_model_options *options);
/* What sp_model_prepare made. */
void sp_model_discard(struct sp_model *m);
/* Views of the weights. */
void sp_model_bind(struct sp_model *m);
/* Carves everything from an arena, for a sequence group of `ranks`. With no memory behind it m->memory learns how much that
 * is. Undone by sp_model_unlay. */
int sp_model_lay(struct sp_model *m, struct sp_arena *arena, int ranks);
void sp_model_unlay(struct sp_model *m);
/* Views of what a micro-batch uses in a piece, and of what all share, become those of samples of `chunk` tokens. */
void sp_model_fit(struct sp_model *m, int piece, int64_t micro, int64_t chunk);

#endif
