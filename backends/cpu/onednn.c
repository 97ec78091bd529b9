/* Matrix products by oneDNN: one primitive for each combination of sizes, strides, transposes and dtype, kept in a table. */
#include "config.h"

#include "cpu/onednn.h"

#include "base/log.h"
#include "base/size.h"
#include "cpu/onednn_versions.h"

#include <dnnl_debug.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum {
	MOST_MADE = 1024, /* products kept */
	SPARE = 128,      /* more than the pieces of one operation differ in */
	SLOTS = 4096,     /* of the table, a power of two: mostly empty, so that looking up is short */
};

enum operand { A, B, C, SCRATCH, OPERANDS };
static const int arguments[OPERANDS] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD };

/* A product that was made ready, or, without a primitive, one that oneDNN does not do. */
struct made {
	struct sp_onednn_product product;
	dnnl_primitive_t primitive;
	size_t scratch;
	dnnl_memory_t *memory; /* [threads][OPERANDS]: where a call's arrays are written down */
	int used;
};

struct sp_onednn {
	dnnl_engine_t engine;
	dnnl_stream_t *stream; /* [threads] */
	void **scratch;        /* [threads], of scratch_size bytes each, once something needs them */
	size_t scratch_size;
	int threads, count;
	struct made made[SLOTS];
};

/* ---- the library ---- */

void sp_onednn_name(char *text, size_t size)
{
	const dnnl_version_t *v = dnnl_version();
	snprintf(text, size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

static dnnl_data_type_t type_of(enum sp_dtype dtype)
{
	return dtype == SP_F32 ? dnnl_f32 : dtype == SP_BF16 ? dnnl_bf16 : dnnl_data_type_undef;
}

int sp_onednn_is_fast(enum sp_dtype dtype)
{
	const int isa = (int)dnnl_get_effective_cpu_isa(), needed = (int)dnnl_cpu_isa_avx512_core_bf16;
	return dtype == SP_BF16 && (isa & needed) == needed;
}

/* Told to use one thread, and asked from inside of our regions, a library with a pool of its own would still use that. */
static int check_threading(char *why, size_t size)
{
	const unsigned runtime = dnnl_version()->cpu_runtime;
	if (runtime == DNNL_RUNTIME_OMP || runtime == DNNL_RUNTIME_SEQ)
		return SP_OK;
	return sp_say(SP_ERR_UNUSABLE, why, size, "this oneDNN has threads of its own (runtime %u): install one that is built with OpenMP, or "
	              "without threads", runtime);
}

static int open_streams(struct sp_onednn *o, char *why, size_t size)
{
	dnnl_status_t status = dnnl_engine_create(&o->engine, dnnl_cpu, 0);
	for (int i = 0; i < o->threads && status == dnnl_success; i++)
		status = dnnl_stream_create(&o->stream[i], o->engine, dnnl_stream_default_flags);
	return status == dnnl_success ? SP_OK : sp_say(SP_ERR_UNUSABLE, why, size, "oneDNN does not start: %s", dnnl_status2str(status));
}

int sp_onednn_open(int threads, struct sp_onednn **opened, char *why, size_t size)
{
	int status = check_threading(why, size);
	if (status)
		return status;
	struct sp_onednn *o = calloc(1, sizeof *o);
	if (!o || !(o->stream = calloc((size_t)threads, sizeof *o->stream)) || !(o->scratch = calloc((size_t)threads, sizeof *o->scratch))) {
		sp_onednn_close(o);
		return sp_fail(SP_ERR_MEMORY, "cpu: no memory for oneDNN's products");
	}
	o->threads = threads;
	status = open_streams(o, why, size);
	if (status) {
		sp_onednn_close(o);
		return status;
	}
	*opened = o;
	return SP_OK;
}

static void forget(struct sp_onednn *o, struct made *m)
{
	for (int i = 0; m->memory && i < o->threads * OPERANDS; i++)
		if (m->memory[i])
			dnnl_memory_destroy(m->memory[i]);
	free(m->memory);
	if (m->primitive)
		dnnl_primitive_destroy(m->primitive);
	memset(m, 0, sizeof *m);
}

static void forget_all(struct sp_onednn *o)
{
	for (int i = 0; i < SLOTS; i++)
		if (o->made[i].used)
			forget(o, &o->made[i]);
	o->count = 0;
}

void sp_onednn_close(struct sp_onednn *o)
{
	if (!o)
		return;
	forget_all(o);
	for (int i = 0; i < o->threads; i++) {
		if (o->stream[i])
			dnnl_stream_destroy(o->stream[i]);
		free(o->scratch[i]);
	}
	if (o->engine)
		dnnl_engine_destroy(o->engine);
	free(o->stream);
	free(o->scratch);
	free(o);
}

/* ---- one thread ---- */

/* oneDNN takes what OpenMP would give the calling thread, when it plans a product and when it runs one. */
static int take_one_thread(void)
{
#ifdef _OPENMP
	const int before = omp_get_max_threads();
	omp_set_num_threads(1);
	return before;
#else
	return 1;
#endif
}

static void give_threads_back(int before)
{
#ifdef _OPENMP
	omp_set_num_threads(before);
#else
	(void)before;
#endif
}

/* ---- the table ---- */

static int same(const struct sp_onednn_product *x, const struct sp_onednn_product *y)
{
	return x->m == y->m && x->n == y->n && x->k == y->k && x->a_stride == y->a_stride && x->b_stride == y->b_stride &&
	       x->c_stride == y->c_stride && x->turn_a == y->turn_a && x->turn_b == y->turn_b && x->add == y->add && x->dtype == y->dtype &&
	       x->result == y->result;
}

static uint64_t hash(const struct sp_onednn_product *p)
{
	const int64_t words[] = { p->m, p->n, p->k, p->a_stride, p->b_stride, p->c_stride, p->turn_a, p->turn_b, p->add, (int64_t)p->dtype,
		                      (int64_t)p->result };
	uint64_t h = 0;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		h = (h ^ (uint64_t)words[i]) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

/* Where the product is, or belongs. */
static struct made *slot_of(struct sp_onednn *o, const struct sp_onednn_product *p)
{
	uint64_t i = hash(p) % SLOTS;
	while (o->made[i].used && !same(&o->made[i].product, p))
		i = (i + 1) % SLOTS;
	return &o->made[i];
}

void sp_onednn_tidy(struct sp_onednn *o)
{
	if (o->count > MOST_MADE - SPARE)
		forget_all(o);
}

/* ---- making ---- */

static int is_empty(const struct sp_onednn_product *p)
{
	return p->m == 0 || p->n == 0 || p->k == 0;
}

/* A matrix of so many rows and columns, which is stored turned or not. */
static dnnl_status_t lay_out(struct sp_dnnl_layout *l, int64_t rows, int64_t cols, int64_t stride, int turned, dnnl_data_type_t type)
{
	const dnnl_dims_t dims = { rows, cols }, strides = { turned ? 1 : stride, turned ? stride : 1 };
	return sp_dnnl_layout_make(l, dims, type, strides);
}

/* float32 is float32 whatever the environment asks of oneDNN; and its memory of work is ours, as its own is shared by threads. */
static dnnl_status_t make_attributes(int add, dnnl_primitive_attr_t *attr)
{
	dnnl_post_ops_t ops = NULL;
	dnnl_status_t status = dnnl_primitive_attr_create(attr);
	if (status == dnnl_success)
		status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
	if (status == dnnl_success)
		status = dnnl_primitive_attr_set_fpmath_mode(*attr, dnnl_fpmath_mode_strict);
	if (status != dnnl_success || !add)
		return status;
	status = dnnl_post_ops_create(&ops);
	if (status == dnnl_success)
		status = sp_dnnl_append_sum(ops);
	if (status == dnnl_success)
		status = dnnl_primitive_attr_set_post_ops(*attr, ops);
	if (ops)
		dnnl_post_ops_destroy(ops);
	return status;
}

/* What oneDNN calls ref is a plain loop. */
static int is_plain(const_dnnl_primitive_desc_t desc)
{
	const char *name = NULL;
	return dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name) != dnnl_success || !name || strncmp(name, "ref", 3) == 0;
}

static dnnl_status_t make_memory(struct sp_onednn *o, struct made *m, const struct sp_dnnl_layout layout[C + 1],
                                 const_dnnl_primitive_desc_t desc)
{
	dnnl_status_t status = dnnl_success;
	m->scratch = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
	m->memory = calloc((size_t)o->threads * OPERANDS, sizeof *m->memory);
	if (!m->memory)
		return dnnl_out_of_memory;
	for (int i = 0; i < o->threads * OPERANDS && status == dnnl_success; i++)
		status = i % OPERANDS == SCRATCH
		         ? dnnl_memory_create(&m->memory[i], dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0), o->engine,
		                              DNNL_MEMORY_NONE)
		         : sp_dnnl_memory(&m->memory[i], &layout[i % OPERANDS], o->engine);
	return status;
}

static dnnl_status_t make_primitive(struct sp_onednn *o, struct made *m, const struct sp_dnnl_layout layout[C + 1],
                                    const_dnnl_primitive_attr_t attr)
{
	dnnl_primitive_desc_t desc = NULL;
	dnnl_status_t status = sp_dnnl_matmul(&desc, o->engine, &layout[A], &layout[B], &layout[C], attr);
	if (status == dnnl_success)
		status = is_plain(desc) ? dnnl_unimplemented : make_memory(o, m, layout, desc);
	if (status == dnnl_success)
		status = dnnl_primitive_create(&m->primitive, desc);
	if (desc)
		dnnl_primitive_desc_destroy(desc);
	return status;
}

static dnnl_status_t make(struct sp_onednn *o, struct made *m)
{
	const struct sp_onednn_product *p = &m->product;
	const dnnl_data_type_t type = type_of(p->dtype);
	struct sp_dnnl_layout layout[C + 1] = { 0 };
	dnnl_primitive_attr_t attr = NULL;
	const int threads = take_one_thread();
	dnnl_status_t status = lay_out(&layout[A], p->m, p->k, p->a_stride, p->turn_a, type);
	if (status == dnnl_success)
		status = lay_out(&layout[B], p->k, p->n, p->b_stride, p->turn_b, type);
	if (status == dnnl_success)
		status = lay_out(&layout[C], p->m, p->n, p->c_stride, 0, type_of(p->result));
	if (status == dnnl_success)
		status = make_attributes(p->add, &attr);
	if (status == dnnl_success)
		status = make_primitive(o, m, layout, attr);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	for (int i = A; i <= C; i++)
		sp_dnnl_layout_free(&layout[i]);
	give_threads_back(threads);
	return status;
}

/* For every thread as much as the product that needs most. */
static int make_room(struct sp_onednn *o, size_t bytes)
{
	if (bytes <= o->scratch_size)
		return SP_OK;
	for (int i = 0; i < o->threads; i++) {
		free(o->scratch[i]);
		o->scratch[i] = NULL;
	}
	o->scratch_size = 0;
	for (int i = 0; i < o->threads; i++)
		if (posix_memalign(&o->scratch[i], 4096, bytes))
			return sp_fail(SP_ERR_MEMORY, "cpu: no memory for %zu bytes of oneDNN's work space", bytes);
	o->scratch_size = bytes;
	return SP_OK;
}

int sp_onednn_ready(struct sp_onednn *o, const struct sp_onednn_product *p)
{
	if (is_empty(p))
		return SP_OK;
	struct made *m = slot_of(o, p);
	if (m->used)
		return m->primitive ? make_room(o, m->scratch) : SP_ERR_UNUSABLE;
	if (o->count == MOST_MADE)
		return SP_ERR_UNUSABLE;
	m->product = *p;
	const dnnl_status_t status = make(o, m);
	if (status != dnnl_success)
		forget(o, m);
	if (status == dnnl_out_of_memory)
		return sp_fail(SP_ERR_MEMORY, "cpu: oneDNN: no memory for a product of %" PRId64 " x %" PRId64 " x %" PRId64, p->m, p->n, p->k);
	m->product = *p;
	m->used = 1;
	o->count++;
	return status == dnnl_success ? make_room(o, m->scratch) : SP_ERR_UNUSABLE;
}

int sp_onednn_knows(struct sp_onednn *o, enum sp_dtype dtype)
{
	enum { SIZE = 64 };
	const struct sp_onednn_product p = { SIZE, SIZE, SIZE, SIZE, SIZE, SIZE, .dtype = dtype };
	return type_of(dtype) != dnnl_data_type_undef && sp_onednn_ready(o, &p) == SP_OK;
}

/* ---- multiplying ---- */

static int multiply_nothing(const struct sp_onednn_product *p, char *c)
{
	const size_t size = sp_dtype_size(p->result);
	for (int64_t i = 0; i < p->m && p->n > 0 && !p->add; i++)
		memset(c + (size_t)(i * p->c_stride) * size, 0, (size_t)p->n * size);
	return SP_OK;
}

int sp_onednn_multiply(struct sp_onednn *o, const struct sp_onednn_product *p, int thread, const void *a, const void *b, void *c)
{
	if (is_empty(p))
		return multiply_nothing(p, c);
	const struct made *m = slot_of(o, p);
	void *const arrays[OPERANDS] = { (void *)(uintptr_t)a, (void *)(uintptr_t)b, c, o->scratch[thread] };
	dnnl_exec_arg_t given[OPERANDS];
	const int threads = take_one_thread();
	dnnl_status_t status = m->primitive ? dnnl_success : dnnl_invalid_arguments;
	for (int i = 0; i < OPERANDS && status == dnnl_success; i++) {
		given[i] = (dnnl_exec_arg_t){ arguments[i], m->memory[thread * OPERANDS + i] };
		status = dnnl_memory_set_data_handle(given[i].memory, arrays[i]);
	}
	if (status == dnnl_success)
		status = dnnl_primitive_execute(m->primitive, o->stream[thread], OPERANDS, given);
	if (status == dnnl_success)
		status = dnnl_stream_wait(o->stream[thread]);
	give_threads_back(threads);
	return status == dnnl_success ? SP_OK : sp_fail(SP_ERR_DEVICE, "cpu: oneDNN's product of %" PRId64 " x %" PRId64 " x %" PRId64
	                                                " failed: %s", p->m, p->n, p->k, dnnl_status2str(status));
}
