/* What a configuration needs of each rank, before anything is allocated. May include: model, parallel.
 *
 * The figures come from the code that allocates: the model is laid out on an arena without memory, the shares of the
 * optimiser and the arrays of a batch are cut by the functions that the trainer uses. */
#ifndef SP_PLAN_PLAN_H
#define SP_PLAN_PLAN_H

#include "model/model.h"
#include "parallel/pipeline.h"

struct sp_plan_input {
	struct sp_model_options model; /* its communicators and slots are not looked at; part: whose memory is planned */
	int data_ranks, sequence_ranks;
	int sequence_rank;    /* whose traffic is planned: where heads are shared out unevenly they differ; what they hold does not */
	int64_t length;       /* tokens of a sequence */
	int64_t multiple;     /* tokens per rank are rounded up to it */
	double slack;         /* ranks may hold more than an equal share by so much of it; then what is sent is that at most */
	int64_t global_batch; /* sequences of a step */
	int checkpoints;      /* they are saved */
	int whole_optimizer;  /* every replica keeps all moments */
};

/* Bytes on a rank that holds this part; of its replicas, the one whose share of the optimiser is largest (the first).
 * Nothing but sizes: plans are compared by their bytes. */
struct sp_plan {
	struct sp_model_memory model;
	size_t optimizer; /* both moments, own share or all */
	size_t batches;   /* arrays of the samples of two steps, on the host, and of one micro-batch on the device */
	size_t snapshot;  /* host copy of values and moments, own share, that a checkpoint is written from */
	size_t tied;      /* where the other stage's gradients of the word table come in */
	size_t sums;      /* gradients of other replicas that arrive, of what is under way at a time */
	size_t total;     /* parameters, gradients, moments, arena, batches, snapshot, tied, sums; libraries and program come on top */
	/* sent by one rank in one training step */
	uint64_t ring_bytes, tensor_bytes, gradient_bytes; /* tensor: with train.last_layer = all, otherwise that at most */
	uint64_t pipeline_bytes, tied_bytes; /* the stream and its gradients to other stages; gradients of the word table */
	uint64_t sent;                       /* of all kinds */
};

/* SP_ERR_MEMORY if sizes overflow. Needs neither device nor ranks. */
int sp_plan_make(const struct sp_plan_input *input, struct sp_plan *plan);

/* Bytes of the host arrays of samples: `micro_batches` blocks of each of two steps, the whole samples of one micro-batch, and what their
 * tokens cost. */
size_t sp_plan_batch_bytes(const struct sp_plan_input *input);

/* The same input with sequences of `length` tokens, and a position table that is at least as long. */
struct sp_plan_input sp_plan_with_length(const struct sp_plan_input *input, int64_t length);
/* The same with micro-batches of `batch` sequences, as many of them in a step as before. */
struct sp_plan_input sp_plan_with_batch(const struct sp_plan_input *input, int64_t batch);
/* How many micro-batches of a step a rank works through, and in which order. */
int64_t sp_plan_micro_batches(const struct sp_plan_input *input);
/* Of this part's layers, those that meet all tokens where the others have a window. */
int64_t sp_plan_full_layers(const struct sp_plan_input *input);
struct sp_pipeline sp_plan_pipeline(const struct sp_plan_input *input);

#endif
