#include "config.h"

#include "nccl/library.h"

#include "base/log.h"
#include "nccl/device.h"

#include <seqpar/status.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The first with ncclCommSplit. */
enum { LEAST = 21800 };

struct sp_nccl_library sp_nccl;

/* A function by its name, as POSIX has it: an object pointer from dlsym() becomes one by way of its storage. */
static const char *find_functions(void *library)
{
#define X(name)                                                                                                            \
	*(void **)&sp_nccl.name = dlsym(library, "nccl" #name);                                                                \
	if (!sp_nccl.name)                                                                                                     \
		return "nccl" #name;
	SP_NCCL_FUNCTIONS(X)
#undef X
	return NULL;
}

/* The loader's words say more only of a library that is there. */
static int is_missing(char *why, size_t size, const char *reason)
{
	if (!reason || strstr(reason, "cannot open shared object file"))
		return sp_say(SP_ERR_UNUSABLE, why, size, "no %s", sp_nccl_device_library());
	return sp_say(SP_ERR_UNUSABLE, why, size, "no %s that can be used: %s", sp_nccl_device_library(), reason);
}

int sp_nccl_load(char *why, size_t size)
{
	static void *library;
	char text[32];
	if (sp_nccl.version >= LEAST)
		return SP_OK;
	if (!library)
		library = dlopen(sp_nccl_device_library(), RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return is_missing(why, size, dlerror());
	const char *missing = find_functions(library);
	if (missing)
		return sp_say(SP_ERR_UNUSABLE, why, size, "%s has no function %s: NCCL 2.18 or later is needed",
		              sp_nccl_device_library(), missing);
	if (sp_nccl.GetVersion(&sp_nccl.version) != ncclSuccess)
		return sp_say(SP_ERR_UNUSABLE, why, size, "%s does not say its version", sp_nccl_device_library());
	sp_nccl_version_text(sp_nccl.version, text, sizeof text);
	return sp_nccl.version >= LEAST ? SP_OK :
	                                  sp_say(SP_ERR_UNUSABLE, why, size, "%s is NCCL %s: 2.18 or later is needed",
	                                         sp_nccl_device_library(), text);
}

void sp_nccl_version_text(int version, char *text, size_t size)
{
	snprintf(text, size, "%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}
