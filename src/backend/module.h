/* Which backend modules this build knows, and opening them. May include: base, seqpar/module.h. */
#ifndef SP_BACKEND_MODULE_H
#define SP_BACKEND_MODULE_H

#include <seqpar/module.h>

/* Name of the i-th module known to this build, built or not; NULL after the last. */
const char *sp_module_name(size_t i);

/* Opens a module, for good: OpenMP, MPI and CUDA do not survive being unloaded. Opening again returns the same module.
 * On error `why` gets the reason, *module is untouched and nothing is logged: SP_ERR_ABSENT (not built, or nobody knows the
 * name), SP_ERR_OPEN (file missing, not loadable, another version, or a table with a missing required operation).
 * Modules lie in LIBDIR/seqpar beside the library that is running, or in the build tree; SEQPAR_MODULE_PATH names
 * another directory. A name that this build does not know is looked for there too. */
int sp_module_open(const char *name, const struct sp_module **module, char *why, size_t size);

/* Opens and asks the module whether it can be used here: as sp_module_open, or SP_ERR_UNUSABLE. On success `why` gets the
 * module's description of itself. */
int sp_module_probe(const char *name, const struct sp_module **module, char *why, size_t size);

/* What sp_module_open demands of a module once it is loaded as `name`. SP_OK or SP_ERR_OPEN with the reason. */
int sp_module_check(const struct sp_module *module, const char *name, char *why, size_t size);

#endif
