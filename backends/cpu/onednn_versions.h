/* The calls in which oneDNN's C interface differs between versions 2 and 3: layouts of memory were structs and are now objects,
 * and descriptions of operations are gone. May include: dnnl.h. */
#ifndef SP_CPU_ONEDNN_VERSIONS_H
#define SP_CPU_ONEDNN_VERSIONS_H

#include <dnnl.h>
#include <dnnl_version.h>

struct sp_dnnl_layout {
	dnnl_memory_desc_t desc;
};

#if DNNL_VERSION_MAJOR >= 3

static inline dnnl_status_t sp_dnnl_layout_make(struct sp_dnnl_layout *l, const dnnl_dims_t dims, dnnl_data_type_t type,
                                                const dnnl_dims_t strides)
{
	return dnnl_memory_desc_create_with_strides(&l->desc, 2, dims, type, strides);
}

static inline void sp_dnnl_layout_free(struct sp_dnnl_layout *l)
{
	if (l->desc)
		dnnl_memory_desc_destroy(l->desc);
}

static inline dnnl_status_t sp_dnnl_memory(dnnl_memory_t *memory, const struct sp_dnnl_layout *l, dnnl_engine_t engine)
{
	return dnnl_memory_create(memory, l->desc, engine, DNNL_MEMORY_NONE);
}

static inline dnnl_status_t sp_dnnl_append_sum(dnnl_post_ops_t ops)
{
	return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t sp_dnnl_matmul(dnnl_primitive_desc_t *desc, dnnl_engine_t engine, const struct sp_dnnl_layout *a,
                                           const struct sp_dnnl_layout *b, const struct sp_dnnl_layout *c,
                                           const_dnnl_primitive_attr_t attr)
{
	return dnnl_matmul_primitive_desc_create(desc, engine, a->desc, b->desc, NULL, c->desc, attr);
}

#else

static inline dnnl_status_t sp_dnnl_layout_make(struct sp_dnnl_layout *l, const dnnl_dims_t dims, dnnl_data_type_t type,
                                                const dnnl_dims_t strides)
{
	return dnnl_memory_desc_init_by_strides(&l->desc, 2, dims, type, strides);
}

static inline void sp_dnnl_layout_free(struct sp_dnnl_layout *l)
{
	(void)l;
}

static inline dnnl_status_t sp_dnnl_memory(dnnl_memory_t *memory, const struct sp_dnnl_layout *l, dnnl_engine_t engine)
{
	return dnnl_memory_create(memory, &l->desc, engine, DNNL_MEMORY_NONE);
}

static inline dnnl_status_t sp_dnnl_append_sum(dnnl_post_ops_t ops)
{
	return dnnl_post_ops_append_sum(ops, 1.0f);
}

static inline dnnl_status_t sp_dnnl_matmul(dnnl_primitive_desc_t *desc, dnnl_engine_t engine, const struct sp_dnnl_layout *a,
                                           const struct sp_dnnl_layout *b, const struct sp_dnnl_layout *c,
                                           const_dnnl_primitive_attr_t attr)
{
	dnnl_matmul_desc_t product;
	const dnnl_status_t status = dnnl_matmul_desc_init(&product, &a->desc, &b->desc, NULL, &c->desc);
	return status != dnnl_success ? status : dnnl_primitive_desc_create(desc, &product, attr, engine, NULL);
}

#endif

#endif
