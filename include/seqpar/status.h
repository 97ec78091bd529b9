/* Status codes of every seqpar function that can fail. May include: libc.
 *
 * Functions return SP_OK or a negative sp_status. Whoever first decides that something is an error logs it (what, the
 * values, what was expected, the foreign library's own words) through sp_fail(); everyone above passes the code on. */
#ifndef SEQPAR_STATUS_H
#define SEQPAR_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

enum sp_status {
	SP_OK = 0,
	SP_ERR_ARGUMENT = -1, /* a value outside what the function's contract allows */
	SP_ERR_SHAPE = -2,    /* shapes, strides or dtypes that do not fit together */
	SP_ERR_MEMORY = -3,   /* allocation failed, or a size overflows */
	SP_ERR_IO = -4,       /* a file cannot be read or written */
	SP_ERR_FORMAT = -5,   /* a file was read and is not what it should be */
	SP_ERR_SETTING = -6,  /* a setting is unknown, mistyped, out of range, or contradicts another (usage error) */
	SP_ERR_ABSENT = -7,   /* a module or ability is not built */
	SP_ERR_OPEN = -8,     /* a module is built but its file cannot be loaded or is of another version */
	SP_ERR_UNUSABLE = -9, /* a module is loaded, but this machine lacks something it needs */
	SP_ERR_COMM = -10,    /* communication failed; the communicator is dead */
	SP_ERR_DEVICE = -11,  /* a compute device failed */
	SP_ERR_NUMERIC = -12, /* a loss or gradient is not finite, or a self-check found a difference */
	SP_ERR_STOPPED = -13, /* stopped by a signal */
};

/* A few words for a status, never NULL; static storage. */
const char *sp_status_text(int status);

#ifdef __cplusplus
}
#endif

#endif
