#include "config.h"

#include "cuda/cudnn_library.h"

#include "base/log.h"

#include <seqpar/status.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const char name_of_library[] = "libcudnn.so.9";

struct sp_cudnn_library sp_cudnn;

/* A function by its name, as POSIX has it: an object pointer from dlsym() becomes one by way of its storage. */
static const char *find_functions(void *library)
{
#define X(name)                                                                                                            \
	*(void **)&sp_cudnn.name = dlsym(library, "cudnn" #name);                                                              \
	if (!sp_cudnn.name)                                                                                                    \
		return "cudnn" #name;
	SP_CUDNN_FUNCTIONS(X)
#undef X
	return NULL;
}

/* The loader's words say more only of a library that is there. */
static int is_missing(char *why, size_t size, const char *reason)
{
	if (!reason || strstr(reason, "cannot open shared object file"))
		return sp_say(SP_ERR_UNUSABLE, why, size, "no %s", name_of_library);
	return sp_say(SP_ERR_UNUSABLE, why, size, "no %s that can be used: %s", name_of_library, reason);
}

void sp_cudnn_version_text(size_t version, char *text, size_t size)
{
	snprintf(text, size, "cuDNN %zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
}

int sp_cudnn_load(char *why, size_t size)
{
	static void *library;
	char text[48], least[48];
	if (sp_cudnn.version >= SP_CUDNN_LEAST)
		return SP_OK;
	if (!library)
		library = dlopen(name_of_library, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return is_missing(why, size, dlerror());
	const char *missing = find_functions(library);
	if (missing)
		return sp_say(SP_ERR_UNUSABLE, why, size, "%s has no function %s", name_of_library, missing);
	sp_cudnn.version = sp_cudnn.GetVersion();
	sp_cudnn_version_text(sp_cudnn.version, text, sizeof text);
	sp_cudnn_version_text(SP_CUDNN_LEAST, least, sizeof least);
	return sp_cudnn.version >= SP_CUDNN_LEAST ? SP_OK : sp_say(SP_ERR_UNUSABLE, why, size, "%s is %s: %s or later is needed",
	                                                           name_of_library, text, least);
}

int sp_cudnn_explain(cudnnStatus_t status, const char *what, char *why, size_t size)
{
	char words[256] = "";
	sp_cudnn.GetLastErrorString(words, sizeof words);
	words[strcspn(words, "\n")] = 0;
	return sp_say(SP_ERR_UNUSABLE, why, size, "%s: %s%s%s", what, sp_cudnn.GetErrorString(status), words[0] ? ": " : "", words);
}
