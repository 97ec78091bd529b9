#include "config.h"

#include <seqpar/status.h>

static const char *const texts[] = {
	"no error",
	"invalid argument",
	"shapes do not fit",
	"out of memory",
	"input or output failed",
	"malformed file",
	"wrong setting",
	"not built",
	"module cannot be opened",
	"module cannot be used here",
	"communication failed",
	"compute device failed",
	"numerical failure",
	"stopped by a signal",
};

const char *sp_status_text(int status)
{
	return status <= 0 && -status < (int)(sizeof texts / sizeof *texts) ? texts[-status] : "unknown status";
}
