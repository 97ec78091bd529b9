/* A whole model on one rank, cpu and self, with one batch from host arrays: what the golden and the finite-difference
 * tests share. May include: model, backend. */
#ifndef TESTS_GOLDEN_HARNESS_H
#define TESTS_GOLDEN_HARNESS_H

#include "model/model.h"

/* Host arrays of batch x length tokens; predicted are indices into them. */
struct harness_batch {
	int64_t batch, length, predictions;
	const int32_t *token, *position, *kind, *doc;
	const int32_t *sample; /* [batch] */
	const int32_t *predicted, *label;
	const int32_t *order_label; /* [batch], or NULL */
};

enum { HARNESS_ARRAYS = 10 };

struct harness {
	struct sp_compute *compute;
	struct sp_comm *comm;
	struct sp_model *model;
	const struct sp_parameters *table;
	struct sp_batch batch;
	void *array[HARNESS_ARRAYS];
	int arrays;
	float *values, *gradients; /* host copies of the flat buffers, table->elements each */
	int forward_only;
	enum sp_recompute recompute;
	enum sp_dtype element;
	int64_t tile;
	int64_t room;            /* tokens of a sample that the model is laid out for; 0: as many as there are */
	int64_t first, chunk;    /* of the one part, if there is more room */
	int read_rows_only;
	const int *slots; /* as in struct sp_model_options */
};

/* All zero on entry but for forward_only, recompute, element, tile, room, read_rows_only and slots. SP_OK, or what failed, logged; to be closed in either case. */
int harness_open(struct harness *h, const struct sp_model_config *config, const struct harness_batch *batch,
                 const char *attention);
void harness_close(struct harness *h);

/* Sends h->values to the model. */
int harness_put(struct harness *h);
/* The loss of one pass in training, from zero; and h->gradients, if wanted. */
int harness_run(struct harness *h, uint64_t seed, uint64_t step, int gradients, double *loss);

#endif
