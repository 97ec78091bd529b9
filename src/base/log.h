/* Messages to standard error, one line each, written with a single write so that ranks do not mix. May include: libc. */
#ifndef SP_BASE_LOG_H
#define SP_BASE_LOG_H

#include <seqpar/status.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* SP_LOG_NONE drops errors as well: for who feeds nonsense on purpose. */
enum sp_log_level { SP_LOG_NONE = -1, SP_LOG_ERROR = 0, SP_LOG_WARNING, SP_LOG_INFO, SP_LOG_DEBUG };

/* Words put before each message, such as "rank 3"; copied, at most 63 bytes. Default: none. */
void sp_log_prefix(const char *prefix);
/* Messages above this level are dropped. Default SP_LOG_WARNING; SEQPAR_LOG=error|warning|info|debug overrides. */
void sp_log_level(enum sp_log_level level);

void sp_log(enum sp_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* From here on errors are kept instead of written, up to some kilobytes, until sp_log_release(): so that of several
 * processes that meet the same error one speaks first, and alone if it ends the others. Warnings are written at once. */
void sp_log_hold(void);
/* Writes what was kept, and holds no longer. Nothing happens if nothing was held. */
void sp_log_release(void);

/* With 1 nothing that this thread logs is written or kept, until it says 0: for who tries what is tried again, aloud, if it fails. */
void sp_log_mute(int on);

/* Logs an error and returns `status`: `return sp_fail(SP_ERR_IO, "%s: %s", file, strerror(errno));` */
int sp_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes to `text` and returns `status`; nothing is logged. */
int sp_say(int status, char *text, size_t size, const char *format, ...) __attribute__((format(printf, 4, 5)));

#ifdef __cplusplus
}
#endif

#endif
