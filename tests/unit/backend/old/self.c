/* A module from before the first interface. */
#include "config.h"

#include <seqpar/module.h>

extern const struct sp_module sp_module_self;
const struct sp_module sp_module_self = { .abi = 0, .name = "self" };
