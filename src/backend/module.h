/* Which backend modules this build knows, and opening them. May include: base, seqpar/module.h. */
#ifndef SP_BACKEND_MODULE_H
#define SP_BACKEND_MODULE_H

#include <seqpar/module.h>

/* Name of the i-th module known to this build, built or not; NULL after the last. */
const char *sp_module_name(size_t i);

/* Opens a module, for good: OpenMP, MPI and CUDA do not survive being unloaded. Opening again returns the same module.
 * On error `why` gets the reason, *module is untouched and nothing is logged: SP_ERR_ABSENT (not built, or nobody knows the
 * name), SP_ERR_OPEN (file missing, not loadable, another version, or a table with a missing required operation). */
int sp_module_open(const char *name, const struct sp_module **module, char *why, size_t size);

#endif
