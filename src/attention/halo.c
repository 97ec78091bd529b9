/* Keys and values of neighbours, and their gradients' way home. See halo.h. */
#include "config.h"

#include "attention/halo.h"

#include "base/log.h"
#include "base/size.h"

#include <stdlib.h>

/* n_d: tokens of a sample that a rank at this distance gives. */
static int64_t width_at(const struct sp_attention_shape_host *s, int64_t distance)
{
	return sp_max(0, sp_min(s->chunk, s->choice.window - (distance - 1) * s->chunk));
}

int64_t sp_halo_tokens(const struct sp_attention_shape_host *s, int64_t rank)
{
	int64_t n = 0;
	for (int64_t d = 1; d < s->ranks; d++)
		n += ((rank - d >= 0) + (rank + d < s->ranks)) * width_at(s, d);
	return n;
}

int64_t sp_halo_most_tokens(const struct sp_attention_shape_host *s)
{
	return sp_halo_tokens(s, s->ranks / 2);
}

int sp_halo_next(const struct sp_halo *h, struct sp_halo_part *p)
{
	const struct sp_attention_shape_host *s = &h->setup->shape;
	const int64_t row = p->row + s->batch * p->n;
	for (int rank = p->rank + 1; rank < s->ranks; rank++) {
		const int64_t n = rank == s->rank ? 0 : width_at(s, rank < s->rank ? s->rank - rank : rank - s->rank);
		if (n == 0)
			continue;
		*p = (struct sp_halo_part){ rank, n, rank < s->rank ? s->chunk - n : 0, rank < s->rank ? 0 : s->chunk - n, row };
		return 1;
	}
	return 0;
}

struct sp_matrix sp_halo_rows(const struct sp_halo *h, struct sp_matrix halo, const struct sp_halo_part *p)
{
	return sp_matrix_rows(halo, p->row, h->setup->shape.batch * p->n);
}

int sp_halo_open(struct sp_halo *h, const struct sp_attention_setup *setup, struct sp_arena *arena)
{
	const struct sp_attention_shape_host *s = &setup->shape;
	const int64_t rows = s->batch * sp_halo_most_tokens(s);
	*h = (struct sp_halo){ .setup = setup };
	if (s->ranks == 1)
		return SP_OK;
	struct sp_matrix *const each[] = { &h->keys, &h->edge, &h->gradients };
	h->bytes = calloc((size_t)s->ranks, sizeof *h->bytes);
	int rc = h->bytes ? SP_OK : sp_fail(SP_ERR_MEMORY, "window attention: no memory for sizes of %d ranks' parts", s->ranks);
	for (int i = 0; rc == SP_OK && i < (setup->forward_only ? 2 : 3); i++)
		rc = sp_arena_take_matrix(arena, rows, 2 * s->heads * s->head_dim, each[i]);
	if (rc)
		sp_halo_close(h);
	return rc;
}

void sp_halo_close(struct sp_halo *h)
{
	free(h->bytes);
	h->bytes = NULL;
}

/* A part to each neighbour, and one from it, of the same size. */
static int swap_start(struct sp_halo *h, struct sp_matrix from, struct sp_matrix to, struct sp_transfer *transfer)
{
	const struct sp_all_to_all args = { from.data, h->bytes, to.data, h->bytes };
	for (int r = 0; r < h->setup->shape.ranks; r++)
		h->bytes[r] = 0;
	for (struct sp_halo_part p = SP_HALO_BEFORE_ALL; sp_halo_next(h, &p);)
		h->bytes[p.rank] = (size_t)(h->setup->shape.batch * p.n * from.cols) * sizeof(float);
	*transfer = (struct sp_transfer){ .compute = h->setup->compute };
	return sp_attention_started(h->setup, sp_comm_all_to_all_start(h->setup->comm, &args, transfer), transfer);
}

/* Own tokens [own, own + n) of every sample, for or from a neighbour: rows of `edge`. `in`: into the edge. */
static int move_edge(const struct sp_halo *h, const struct sp_halo_part *p, struct sp_matrix own, struct sp_matrix edge, int in)
{
	const int64_t chunk = h->setup->shape.chunk;
	int rc = SP_OK;
	for (int64_t b = 0; rc == SP_OK && b < h->setup->shape.batch; b++) {
		const struct sp_matrix here = sp_matrix_rows(own, b * chunk + p->own, p->n), there = sp_matrix_rows(edge, b * p->n, p->n);
		rc = in ? sp_compute_copy_rows(h->setup->compute, here, there) : sp_compute_copy_rows(h->setup->compute, there, here);
	}
	return rc;
}

int sp_halo_start(struct sp_halo *h, struct sp_matrix kv)
{
	int rc = SP_OK;
	if (h->setup->shape.ranks == 1)
		return SP_OK;
	for (struct sp_halo_part p = SP_HALO_BEFORE_ALL; rc == SP_OK && sp_halo_next(h, &p);)
		rc = move_edge(h, &p, kv, sp_halo_rows(h, h->edge, &p), 1);
	return rc ? rc : swap_start(h, h->edge, h->keys, &h->coming);
}

int sp_halo_wait(struct sp_halo *h)
{
	return h->setup->shape.ranks == 1 ? SP_OK : sp_comm_wait(h->setup->comm, &h->coming);
}

int sp_halo_send_home(struct sp_halo *h)
{
	return h->setup->shape.ranks == 1 ? SP_OK : swap_start(h, h->gradients, h->edge, &h->going);
}

int sp_halo_add_home(struct sp_halo *h, struct sp_matrix dkv)
{
	int rc = SP_OK;
	if (h->setup->shape.ranks == 1)
		return SP_OK;
	rc = sp_comm_wait(h->setup->comm, &h->going);
	for (struct sp_halo_part p = SP_HALO_BEFORE_ALL; rc == SP_OK && sp_halo_next(h, &p);) {
		const struct sp_matrix come = sp_halo_rows(h, h->edge, &p), sum = sp_halo_rows(h, h->gradients, &p);
		rc = move_edge(h, &p, dkv, sum, 1);
		if (rc == SP_OK)
			rc = sp_compute_add(h->setup->compute, sum.data, come.data, sum.rows * sum.cols);
		if (rc == SP_OK)
			rc = move_edge(h, &p, dkv, sum, 0);
	}
	return rc;
}
