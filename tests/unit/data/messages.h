/* What a test's code writes to standard error, so that the test can look for words in it. May include: libc. */
#ifndef SP_TESTS_MESSAGES_H
#define SP_TESTS_MESSAGES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int messages_saved = -1;
static FILE *messages_file;

static inline void messages_start(void)
{
	messages_file = tmpfile();
	messages_saved = dup(STDERR_FILENO);
	if (!messages_file || messages_saved < 0 || dup2(fileno(messages_file), STDERR_FILENO) < 0)
		abort();
}

/* The text since messages_start, in a buffer that the next call overwrites. */
static inline const char *messages_end(void)
{
	static char text[4096];
	rewind(messages_file);
	text[fread(text, 1, sizeof text - 1, messages_file)] = 0;
	dup2(messages_saved, STDERR_FILENO);
	close(messages_saved);
	fclose(messages_file);
	return text;
}

#endif
