/* What a backend module exports. May include: libc, seqpar/{status,compute,comm}.h. */
#ifndef SEQPAR_MODULE_H
#define SEQPAR_MODULE_H

#include <seqpar/comm.h>
#include <seqpar/compute.h>
#include <seqpar/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rises whenever one of the tables changes; a module of another version is refused by name. */
#define SP_MODULE_ABI 17

/* A module exports one symbol, `const struct sp_module sp_module_NAME`. */
struct sp_module {
	int abi; /* SP_MODULE_ABI; first, so that any version can read it */
	const char *name;
	/* SP_OK: usable here, `text` describes it. SP_ERR_UNUSABLE: `text` says why. Starts nothing that must be stopped. */
	int (*probe)(char *text, size_t size);
	const struct sp_compute_ops *compute; /* one of the two, the other is NULL */
	const struct sp_comm_ops *comm;
};

#ifdef __cplusplus
}
#endif

#endif
