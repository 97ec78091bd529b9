/* BERT, forward and backward, on one rank's part of every sequence. May include: attention, layers, parallel, backend.
 *
 * Knows no files, no optimiser, no data set. The parameters are one flat buffer in device memory: those of the rank's part of
 * the model, replicated on the data and sequence ranks; gradients another one of the same layout, to which each pass adds
 * this rank's contribution: the true gradient is their sum over those ranks. */
#ifndef SP_MODEL_MODEL_H
#define SP_MODEL_MODEL_H

#include "attention/attention.h"
#include "backend/arena.h"
#include "backend/compute.h"
#include "model/config.h"
#include "model/parameters.h"

/* One micro-batch as a rank sees it. All arrays are device memory, T = batch * chunk rows, sample-major. */
struct sp_batch {
	int64_t batch, chunk;
	struct sp_attention_parts parts;        /* where ranks hold parts of unequal length: what all hold, `chunk` here; most: the
	                                           options' chunk, at most which `chunk` is. All zero: all hold that */
	const int32_t *token, *position, *kind; /* [T]; padding: 0 */
	const int32_t *doc;                     /* [ranks][batch][chunk], see struct sp_attention_call: document ids of all ranks of the sequence; -1 padding */
	const int32_t *read_doc;                /* [T] `doc` of those of this rank's tokens that are predicted or tell an order, -1 of
	                                           the others; NULL: not known */
	const uint8_t *whole;                   /* [ranks], host, as in struct sp_attention_call; NULL: not known */
	const int32_t *length;                  /* [batch], host: tokens of each sample that are not padding, which is behind them;
	                                           looked at only if attention projects */
	/* Global tokens, looked at only if attention has any: those of struct sp_attention_globals. */
	const int32_t *global_doc, *other_doc, *read_other_doc, *global_row, *global_slot;
	int64_t globals; /* of global_row and global_slot */
	const uint32_t *sample;                 /* [batch] slot in the global batch, for dropout */
	const uint32_t *head_sample;            /* [batch] slot * tensor ranks + own one; NULL without tensor parallelism */
	uint32_t first;                         /* global position of the rank's first token */
	int64_t predictions;                    /* how many of this rank's tokens are to be predicted; may be 0 */
	const int32_t *predicted;               /* [predictions] rows, ascending */
	const int32_t *label;                   /* [predictions] */
	int64_t orders;                         /* sentence-order labels held, of the samples whose first token is here */
	const int32_t *order_row;               /* [orders] rows of the [CLS] tokens, none of them in `predicted` */
	const int32_t *order_label;             /* [orders] 0 or 1 */
};

struct sp_pass {
	uint64_t seed, step; /* with the layer and site, the key of the dropout masks */
	int training;        /* 0: no dropout, no gradients */
	float mlm_scale;     /* 1 / predicted tokens of the whole global batch, all ranks and micro-batches */
	float order_scale;   /* 1 / samples of the whole global batch, packed ones each for itself */
	/* Optional: told by backward as it goes that the gradients at `offset` of the flat buffer and behind it are final, if
	 * this is the last micro-batch. Offsets fall, the last is 0. An error ends the pass. */
	int (*ready)(void *context, int64_t offset);
	void *ready_context;
};

struct sp_model;

/* Layers of a training pass as graphs of the device (backend/graphs.h), where a layer does the same in each step: ON, it is an error if
 * it cannot be recorded. For attention among whole sequences on one rank, by "full" or "ring", without tensor ranks, on a device that
 * has graphs. Steps must then be waited for before the next is begun. */
enum sp_model_graphs { SP_MODEL_GRAPHS_OFF = 0, SP_MODEL_GRAPHS_AUTO, SP_MODEL_GRAPHS_ON };

/* Sentence orders that a micro-batch may hold on a rank: one of each sequence, of packed samples one of every other token. */
int64_t sp_model_orders(int packed, int64_t batch, int64_t chunk);

/* The name of what attends to all tokens in a model whose other layers have a window: on so many ranks that share sequences. */
const char *sp_model_full_attention(int ranks);

struct sp_model_options {
	struct sp_model_config config;
	/* Dtype of activations, of their gradients and of what stages send each other. If it is not SP_F32 products are made with copies
	 * of the weights; parameters and their gradients are float32 all the same, and so is attention of kinds that take nothing else. */
	enum sp_dtype element;
	int64_t batch, chunk; /* of every micro-batch, or the most: activations are laid out for them once */
	int packed;           /* a sequence may hold several samples, each with a sentence order */
	const struct sp_attention_variant *attention;
	struct sp_attention_choice choice; /* what that looks at */
	struct sp_comm *sequence; /* ranks that share a sequence; borrowed */
	int overlap;              /* hops overlap with compute */
	int forward_only;         /* no gradients, and one set of buffers for all layers: memory does not grow with them */
	enum sp_recompute recompute; /* not with forward_only */
	int64_t tile; /* rows that the MLP is done for at a time where what it computes is not kept; 0: 2048 */
	enum sp_model_graphs graphs;
	int read_rows_only; /* in training, the last layer's rows that no head reads end with attention: same gradients, less work */
	struct sp_model_part part; /* all zero: the whole model */
	struct sp_comm *tensor;    /* ranks that hold the other parts of the weights; NULL if there is but one; borrowed */
	const int *slots;          /* [pieces] micro-batches between forward and backward at a time; NULL: 1 each; read only by
	                              the call that it is given to */
};

/* Bytes per rank of each kind, without a device: ranks is the size of the sequence group. */
struct sp_model_memory {
	size_t parameters, gradients; /* flat buffers; forward only: no gradients */
	size_t factors;               /* copies of what products are made with, in options.element; 0 where that is float32 */
	size_t activations;           /* kept from forward for backward, of all slots, and gradients of the residual stream;
	                                 forward only: the residual stream */
	size_t pipeline;              /* of `activations`, what is received from and sent to other stages */
	size_t scratch;               /* inside a layer: gradients (forward only: activations), what is computed again, ring
	                                 buffers and attention workspace */
	size_t head;                  /* one chunk of the prediction heads; shares its place with `scratch` */
	size_t arena;                 /* activations + the larger of the last two: exactly the arena's high-water mark */
	size_t attention;             /* of `scratch`, what attention and its ring buffers take */
};
int sp_model_memory(const struct sp_model_options *options, int ranks, struct sp_model_memory *memory);

/* Allocates parameters (uninitialised), gradients (zero) and the arena. Not collective. */
int sp_model_create(struct sp_compute *compute, const struct sp_model_options *options, struct sp_model **model);
void sp_model_destroy(struct sp_model *m); /* NULL accepted */

const struct sp_parameters *sp_model_parameters(const struct sp_model *m);
float *sp_model_values(struct sp_model *m);    /* flat, device */
float *sp_model_gradients(struct sp_model *m); /* flat, device */
const struct sp_arena *sp_model_arena(const struct sp_model *m);

/* Forward, and backward if pass->training, of a model without other stages. Collective over the sequence group. Adds to the
 * losses and gradients. */
int sp_model_run(struct sp_model *m, const struct sp_batch *batch, const struct sp_pass *pass);

/* The layers of a piece, as the whole model counts them. */
struct sp_layer_range sp_model_layers(const struct sp_model *m, int piece);

/* ---- one piece at a time, for the stages of a pipeline ----
 *
 * Micro-batches 0, 1, 2, ... go through each piece in this order, forward and backward, at most `slots` of them between
 * the two. What enters and leaves a piece is one (T, H) matrix without gaps, in device memory: the residual stream. There is room
 * for the most tokens; these are of as many as the micro-batch has, from the place's begin. */

/* Where the stream of a micro-batch is put before its forward, unless the model begins with this piece. Free as soon as the
 * micro-batch (slots + 1) before it has gone backward, or in a forward-only model 2 before it forward. */
struct sp_matrix sp_model_entrance(const struct sp_model *m, int piece, int64_t micro);
/* Where forward leaves the stream, until the same slot goes forward again; in a forward-only model until any piece does. */
struct sp_matrix sp_model_exit(const struct sp_model *m, int piece, int64_t micro);
/* Buffers for the gradient of the stream: the exit's before backward, the entrance's after it. */
enum { SP_MODEL_STREAM_GRADIENTS = 3 };
struct sp_matrix sp_model_stream_gradient(const struct sp_model *m, int i);

/* The last piece of the last stage adds to the losses: in backward if there is one (pass->training), else in forward. */
int sp_model_forward(struct sp_model *m, int piece, int64_t micro, const struct sp_batch *batch, const struct sp_pass *pass);
/* From and to stream gradient i. Adds to the gradients of the weights. */
int sp_model_backward(struct sp_model *m, int piece, int64_t micro, int i, const struct sp_batch *batch,
                      const struct sp_pass *pass);

/* The encoder alone, without dropout. `hidden` (T, H): the last hidden states of this rank's tokens, in device memory,
 * the model's, until the next pass; rows of padding hold numbers without meaning. Collective over the sequence group. */
int sp_model_encode(struct sp_model *m, const struct sp_batch *batch, struct sp_matrix *hidden);
/* The masked-language-model head on rows row[0 .. n - 1] (device) of what sp_model_encode gave last: `take` gets the
 * i-th row's logits (activations must be float32), config.vocab_size floats in host memory, in ascending order of i. A nonzero return of `take` stops
 * the work and is returned. Logits never exist whole. Not collective. */
int sp_model_predict(struct sp_model *m, const int32_t *row, int64_t n,
                     int (*take)(void *context, int64_t i, const float *logits), void *context);
/* Lays a forward-only model out anew, for batches of another shape, of another group of ranks. Memory grows to the
 * largest need so far. After an error the model can only be destroyed. Not collective. */
int sp_model_reshape(struct sp_model *m, int64_t batch, int64_t chunk, const struct sp_attention_variant *attention,
                     struct sp_comm *sequence);

/* Layers that have been queued as graphs so far. */
int64_t sp_model_graphs_launched(const struct sp_model *m);

/* Sums since the last reset, of this rank alone, unscaled. */
struct sp_model_sums {
	double mlm, order;       /* sums of cross-entropies */
	int64_t correct, ordered; /* tokens and sentence orders predicted right */
};
int sp_model_sums(struct sp_model *m, struct sp_model_sums *sums); /* waits for the device */
/* Sums to zero, and gradients if asked; and what passes read beside the values, if anything, made anew from them: called before
 * the passes that follow a change of values. */
int sp_model_reset(struct sp_model *m, int gradients);

#endif
