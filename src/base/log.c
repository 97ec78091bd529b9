#include "config.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char log_prefix[64];
static enum sp_log_level log_level = SP_LOG_WARNING;
static int log_forced = -1; /* SEQPAR_LOG has been looked at when >= 0 */

/* Errors kept by sp_log_hold. */
static struct {
	int on;
	size_t used;
	char text[8192];
} held;

static _Thread_local int muted;

static const char *const names[] = { "error", "warning", "info", "debug" };

void sp_log_prefix(const char *prefix)
{
	snprintf(log_prefix, sizeof log_prefix, "%s", prefix);
}

void sp_log_level(enum sp_log_level level)
{
	log_level = level;
}

static enum sp_log_level current_level(void)
{
	if (log_forced < 0) {
		const char *wanted = getenv("SEQPAR_LOG");
		log_forced = 0;
		for (int i = 0; wanted && i < 4; i++)
			if (strcmp(wanted, names[i]) == 0)
				log_forced = i + 1;
	}
	return log_forced > 0 ? (enum sp_log_level)(log_forced - 1) : log_level;
}

static void put(const char *text, size_t n)
{
	ssize_t ignored = write(STDERR_FILENO, text, n);
	(void)ignored;
}

/* What does not fit is written rather than lost. */
static void put_error(const char *line, size_t n)
{
	if (!held.on || n > sizeof held.text - held.used) {
		put(line, n);
		return;
	}
	memcpy(held.text + held.used, line, n);
	held.used += n;
}

void sp_log_hold(void)
{
	held.on = 1;
}

void sp_log_release(void)
{
	if (held.used)
		put(held.text, held.used);
	held.on = 0;
	held.used = 0;
}

void sp_log_mute(int on)
{
	muted = on;
}

/* Line ends come with text of other libraries and names of files; what damaged files hold must not reach a terminal as
 * commands. */
static void keep_to_one_line(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = ' ';
}

static void write_line(enum sp_log_level level, const char *format, va_list args)
{
	char line[2048];
	size_t n = (size_t)snprintf(line, sizeof line, "seqpar: %s%s%s: ", log_prefix, log_prefix[0] ? ": " : "", names[level]);
	int rest = vsnprintf(line + n, sizeof line - n - 1, format, args);
	n += rest < 0 ? 0 : (size_t)rest < sizeof line - n - 1 ? (size_t)rest : sizeof line - n - 2;
	if (muted || level > current_level())
		return;
	keep_to_one_line(line, n);
	line[n++] = '\n';
	if (level == SP_LOG_ERROR)
		put_error(line, n);
	else
		put(line, n);
}

void sp_log(enum sp_log_level level, const char *format, ...)
{
	if (level > current_level())
		return;
	va_list args;
	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

int sp_fail(int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	write_line(SP_LOG_ERROR, format, args);
	va_end(args);
	return status;
}

int sp_say(int status, char *text, size_t size, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(text, size, format, args);
	va_end(args);
	return status;
}
