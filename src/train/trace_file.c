#include "config.h"

#include "train/trace_file.h"

#include "base/log.h"
#include "base/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failed(const char *name)
{
	return sp_fail(SP_ERR_IO, "log.trace = %s cannot be written: %s", name, strerror(errno));
}

/* "NAME.part" */
static char *part_of(const char *name)
{
	char *part = NULL;
	if (asprintf(&part, "%s.part", name) < 0)
		return NULL;
	return part;
}

int sp_trace_file_check(const char *name)
{
	char *part = part_of(name);
	FILE *file = part ? fopen(part, "w") : NULL;
	int status = file ? SP_OK : failed(name);
	if (file) {
		fclose(file);
		unlink(part);
	}
	free(part);
	return status;
}

/* This rank's events. Sent to rank 0 by the others, so text of known length. */
static int fragment(int rank, char **text, size_t *size)
{
	char process[32];
	FILE *memory = open_memstream(text, size);
	if (!memory)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the trace");
	snprintf(process, sizeof process, "rank %d", rank);
	int bad = sp_trace_write(memory, rank, process, rank > 0);
	if (fclose(memory) != 0 || bad) {
		free(*text);
		return sp_fail(SP_ERR_MEMORY, "out of memory for the trace");
	}
	return SP_OK;
}

static int pass_on(struct sp_comm *world, const struct sp_exchange *args)
{
	struct sp_transfer transfer = { NULL };
	int status = sp_comm_exchange_start(world, args, &transfer);
	return status ? status : sp_comm_wait(world, &transfer);
}

/* Rank 0: from each other rank, in their order, its length and its text. */
static int collect(struct sp_comm *world, FILE *file)
{
	int bad = 0;
	for (int rank = 1; rank < sp_comm_size(world); rank++) {
		uint64_t size = 0;
		struct sp_exchange ask = { .receive = &size, .receive_bytes = sizeof size, .from = rank, .to = rank };
		int status = pass_on(world, &ask);
		char *text = status ? NULL : malloc(size ? size : 1);
		if (!text)
			return status ? status : sp_fail(SP_ERR_MEMORY, "out of memory for the trace of rank %d", rank);
		struct sp_exchange get = { .receive = text, .receive_bytes = size, .from = rank, .to = rank };
		status = pass_on(world, &get);
		bad |= !status && fwrite(text, 1, size, file) != size;
		free(text);
		if (status)
			return status;
	}
	return bad ? SP_ERR_IO : SP_OK;
}

static int deliver(struct sp_comm *world, const char *text, size_t length)
{
	uint64_t size = length;
	struct sp_exchange tell = { .send = &size, .send_bytes = sizeof size, .to = 0, .from = 0 };
	struct sp_exchange give = { .send = text, .send_bytes = length, .to = 0, .from = 0 };
	int status = pass_on(world, &tell);
	return status ? status : pass_on(world, &give);
}

/* Rank 0's whole document under the temporary name. */
static int assemble(struct sp_comm *world, const char *part, const char *name, const char *text, size_t size)
{
	FILE *file = fopen(part, "w");
	if (!file)
		return failed(name);
	errno = 0;
	int bad = fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", file) < 0 || fwrite(text, 1, size, file) != size;
	int status = collect(world, file);
	bad |= fputs("\n]}\n", file) < 0 || fflush(file) != 0 || fsync(fileno(file)) != 0;
	bad |= fclose(file) != 0;
	if (status && status != SP_ERR_IO)
		return status;
	return bad || status ? failed(name) : SP_OK;
}

static int write_all(struct sp_comm *world, const char *name, const char *text, size_t size)
{
	char *part = part_of(name);
	if (!part)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the trace");
	int status = assemble(world, part, name, text, size);
	if (!status && rename(part, name) != 0)
		status = failed(name);
	if (status)
		unlink(part);
	free(part);
	return status;
}

int sp_trace_file_write(struct sp_comm *world, const char *name)
{
	char *text;
	size_t size;
	int status = fragment(sp_comm_rank(world), &text, &size);
	if (status)
		return status;
	status = sp_comm_rank(world) == 0 ? write_all(world, name, text, size) : deliver(world, text, size);
	free(text);
	return status;
}
