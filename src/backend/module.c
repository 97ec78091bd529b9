/* The three lists of modules come from configure, so no line here asks which library was found. */
#include "config.h"

#include "backend/module.h"

#include "base/log.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
	const char *name;
	const struct sp_module *linked; /* NULL: in a file of its own, or absent */
	const char *absent;             /* NULL, or why it was not built */
};

#define X(name) extern const struct sp_module sp_module_##name;
SP_MODULES_LINKED
#undef X

static const struct entry entries[] = {
#define X(name) { #name, &sp_module_##name, NULL },
	SP_MODULES_LINKED
#undef X
#define X(name) { #name, NULL, NULL },
	SP_MODULES_LOADED
#undef X
#define X(name, why) { #name, NULL, why },
	SP_MODULES_ABSENT
#undef X
	{ NULL, NULL, NULL },
};

const char *sp_module_name(size_t i)
{
	return i < sizeof entries / sizeof *entries ? entries[i].name : NULL;
}

static const struct entry *find(const char *name)
{
	const struct entry *e = entries;
	while (e->name && strcmp(e->name, name) != 0)
		e++;
	return e->name ? e : NULL;
}

/* A member of a table and whether the module fills it; ends with a NULL name. */
struct member {
	const char *name;
	int present;
};

static const char *first_missing(const struct member *m)
{
	while (m->name && m->present)
		m++;
	return m->name;
}

#define MEMBER(member) { #member, ops->member != NULL }
#define OPTIONAL(member) { #member, sizeof ops->member != 0 }
/* Optional, but not one without the other. */
#define PAIR(member, other) { #member, !ops->member == !ops->other }

static const char *missing_compute(const struct sp_compute_ops *ops)
{
	const struct member members[] = {
		MEMBER(open), MEMBER(close), MEMBER(describe), MEMBER(supports), MEMBER(chunk_multiple), MEMBER(threads), OPTIONAL(multiplies),
		MEMBER(alloc), MEMBER(free), MEMBER(copy_in), MEMBER(copy_out), MEMBER(upload), MEMBER(zero), MEMBER(copy_rows), OPTIONAL(convert), MEMBER(sync),
		PAIR(alloc_host, free_host), PAIR(free_host, alloc_host), OPTIONAL(queue), PAIR(mark, between), PAIR(between, mark),
		PAIR(graph_begin, graph_end), PAIR(graph_end, graph_launch), PAIR(graph_launch, graph_free), PAIR(graph_free, graph_begin),
		MEMBER(linear_forward), MEMBER(linear_backward_input), MEMBER(linear_backward_weight),
		MEMBER(activation_backward),
		MEMBER(norm_forward), MEMBER(norm_backward),
		MEMBER(attention_forward), MEMBER(attention_finish), MEMBER(attention_merge),
		MEMBER(attention_dots), MEMBER(attention_backward),
		OPTIONAL(scores_mask), OPTIONAL(scores_softmax), OPTIONAL(scores_drop), OPTIONAL(scores_backward),
		OPTIONAL(rotate),
		MEMBER(embedding_forward), MEMBER(embedding_backward),
		MEMBER(gather_rows), MEMBER(scatter_add_rows), MEMBER(cross_entropy), MEMBER(tanh_forward), MEMBER(tanh_backward),
		OPTIONAL(words_forward), OPTIONAL(words_backward), OPTIONAL(entropy_part), OPTIONAL(entropy_whole),
		MEMBER(sum_squares), MEMBER(decide), MEMBER(adamw), MEMBER(add),
		MEMBER(gemm_rate), MEMBER(memory_rate),
		{ NULL, 0 },
	};
	_Static_assert(sizeof *ops == (sizeof members / sizeof *members - 1) * sizeof ops->open, "a member is not listed");
	return first_missing(members);
}

/* Of modules of host memory, or of device memory: `join` tells which. */
#define HOST(member) { #member, ops->join ? 1 : ops->member != NULL }
#define DEVICE(member) { #member, ops->join ? ops->member != NULL : 1 }

static const char *missing_comm(const struct sp_comm_ops *ops)
{
	const struct member members[] = {
		HOST(open), HOST(abort), HOST(place), HOST(all_reduce), HOST(broadcast), HOST(barrier), HOST(wait),
		DEVICE(join), DEVICE(order), DEVICE(begun), DEVICE(stalled), DEVICE(all_reduce_start),
		MEMBER(split), MEMBER(close),
		MEMBER(exchange_start), MEMBER(reduce_scatter_start), MEMBER(all_gather_start), MEMBER(all_to_all_start),
		MEMBER(test), MEMBER(progress),
		OPTIONAL(describe),
		PAIR(window_open, window_close), PAIR(window_close, window_of), PAIR(window_of, window_leave), PAIR(window_leave, window_post),
		PAIR(window_post, window_seen), PAIR(window_seen, window_open),
		{ NULL, 0 },
	};
	_Static_assert(sizeof *ops == (sizeof members / sizeof *members - 1) * sizeof ops->open, "a member is not listed");
	return first_missing(members);
}

int sp_module_check(const struct sp_module *module, const char *name, char *why, size_t size)
{
	if (module->abi != SP_MODULE_ABI)
		return sp_say(SP_ERR_OPEN, why, size, "module %s has interface %d, this seqpar has %d: install both from one build",
		              name, module->abi, SP_MODULE_ABI);
	if (!module->name || strcmp(module->name, name) != 0)
		return sp_say(SP_ERR_OPEN, why, size, "module %s calls itself %s", name, module->name ? module->name : "nothing");
	if (!module->probe || !module->compute == !module->comm)
		return sp_say(SP_ERR_OPEN, why, size, "module %s must have probe() and one table of operations", name);
	const char *missing = module->compute ? missing_compute(module->compute) : missing_comm(module->comm);
	if (missing)
		return sp_say(SP_ERR_OPEN, why, size, "module %s lacks the operation %s", name, missing);
	return SP_OK;
}

/* Found from where libseqpar was loaded, so that an installed tree may be moved or staged: LIBDIR/seqpar, or
 * ../backends/.libs when libseqpar lies in a build tree's .libs. */
static int module_directory(char *dir, size_t size)
{
	const char *forced = getenv("SEQPAR_MODULE_PATH");
	if (forced && *forced)
		return snprintf(dir, size, "%s", forced) < (int)size ? 0 : -1;

	Dl_info self;
	char path[PATH_MAX];
	if (!dladdr(entries, &self) || !realpath(self.dli_fname, path))
		return -1;
	*strrchr(path, '/') = '\0';
	const char *last = strrchr(path, '/');
	const char *below = last && strcmp(last, "/.libs") == 0 ? "../backends/.libs" : "seqpar";
	return snprintf(dir, size, "%s/%s", path, below) < (int)size ? 0 : -1;
}

/* Everything is resolved at once, so that a broken module fails here and not in step 3000. Open MPI's plugins look for
 * MPI's symbols in the global scope. */
static const struct sp_module *load(const char *name, const char *file)
{
	char symbol[64];
	snprintf(symbol, sizeof symbol, "sp_module_%s", name);
	void *handle = dlopen(file, RTLD_NOW | (strcmp(name, "mpi") == 0 ? RTLD_GLOBAL : RTLD_LOCAL));
	return handle ? dlsym(handle, symbol) : NULL;
}

/* A module that this build does not know may still lie beside the others: one made elsewhere, or for tests. */
static int lies_there(const char *name, const char *file)
{
	return name[0] && !strchr(name, '/') && access(file, F_OK) == 0;
}

int sp_module_open(const char *name, const struct sp_module **module, char *why, size_t size)
{
	const struct entry *e = find(name);
	if (e && e->absent)
		return sp_say(SP_ERR_ABSENT, why, size, "not built: %s", e->absent);

	const struct sp_module *found = e ? e->linked : NULL;
	if (!found) {
		char dir[PATH_MAX], file[PATH_MAX + 64];
		if (module_directory(dir, sizeof dir))
			return sp_say(SP_ERR_OPEN, why, size, "cannot tell where the modules are; set SEQPAR_MODULE_PATH");
		snprintf(file, sizeof file, "%s/%s.so", dir, name);
		if (!e && !lies_there(name, file))
			return sp_say(SP_ERR_ABSENT, why, size, "there is no module %s", name);
		found = load(name, file);
		if (!found)
			return sp_say(SP_ERR_OPEN, why, size, "%s", dlerror());
	}
	int status = sp_module_check(found, name, why, size);
	if (status == SP_OK)
		*module = found;
	return status;
}

int sp_module_probe(const char *name, const struct sp_module **module, char *why, size_t size)
{
	const struct sp_module *found;
	int status = sp_module_open(name, &found, why, size);
	if (status == SP_OK)
		status = found->probe(why, size);
	if (status == SP_OK)
		*module = found;
	return status;
}
