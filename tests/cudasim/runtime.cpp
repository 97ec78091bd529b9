/* Stands in for backends/cuda/runtime.c: memory that only the device can touch, and a queue that is done at once. The module is called cudasim, so that it is never taken for the device. */
#include "config.h"

#include "base/log.h"
#include "cuda/cuda.h"
#include "cudasim/graph.hpp"
#include "cudasim/memory.hpp"
#include "cudasim/queue.h"
#include "cudasim/simulator.hpp"

#include <seqpar/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const schedules[] = { "forward", "up", "down" };

/* SEQPAR_CUDASIM=forward|up|down: in which order threads have their turn. */
static int choose_schedule(void)
{
	const char *name = getenv("SEQPAR_CUDASIM");
	for (int i = 0; i < 3; i++)
		if (!name || strcmp(name, schedules[i]) == 0) {
			simulator::schedule = static_cast<enum simulator::schedule>(i);
			return SP_OK;
		}
	return sp_fail(SP_ERR_SETTING, "SEQPAR_CUDASIM=%s: expected forward, up or down", name);
}

extern "C" int sp_cuda_check(int code, const char *what)
{
	return code ? sp_fail(SP_ERR_DEVICE, "cudasim: %s: %d", what, code) : SP_OK;
}

extern "C" int sp_cuda_probe(char *text, size_t size)
{
	return sp_say(SP_OK, text, size, "thread blocks on the processor, for tests");
}

extern "C" int sp_cuda_runtime_open(struct sp_cuda *cuda, int number)
{
	cuda->device = number;
	return choose_schedule();
}

extern "C" void sp_cuda_runtime_close(struct sp_cuda *)
{
}

extern "C" void sp_cuda_runtime_describe(const struct sp_cuda *, char *text, size_t size)
{
	snprintf(text, size, "simulated, schedule %s", schedules[simulator::schedule]);
}

extern "C" int sp_cuda_capability(const struct sp_cuda *)
{
	return 90;
}

extern "C" size_t sp_cuda_shared_limit(const struct sp_cuda *)
{
	return 160 << 10;
}

extern "C" int64_t sp_cuda_stream_elements(const struct sp_cuda *)
{
	return 1 << 16;
}

/* ---- memory ---- */

/* What a stream that is captured refuses. */
static int not_recording(const char *what)
{
	return simulator::recording ? sp_fail(SP_ERR_DEVICE, "cudasim: %s while a graph is recorded", what) : SP_OK;
}

extern "C" int sp_cuda_alloc(void *, size_t bytes, void **memory)
{
	if (not_recording("memory allocated"))
		return SP_ERR_DEVICE;
	*memory = simulator::reserve(bytes);
	return *memory ? SP_OK : sp_fail(SP_ERR_MEMORY, "cudasim: no memory for %zu bytes", bytes);
}

extern "C" void sp_cuda_free(void *, void *memory)
{
	simulator::release(memory);
}

extern "C" int sp_cuda_alloc_host(void *, size_t bytes, void **memory)
{
	*memory = malloc(bytes ? bytes : 1);
	return *memory ? SP_OK : sp_fail(SP_ERR_MEMORY, "cudasim: no host memory for %zu bytes", bytes);
}

extern "C" void sp_cuda_free_host(void *, void *memory)
{
	free(memory);
}

extern "C" int sp_cuda_copy_in(void *, void *device, const void *host, size_t bytes)
{
	const simulator::opened open;
	if (not_recording("copied in"))
		return SP_ERR_DEVICE;
	if (bytes)
		memcpy(device, host, bytes);
	return SP_OK;
}

/* ---- host memory that is being read until the queue is through ---- */

struct upload {
	const unsigned char *host;
	size_t bytes;
	uint64_t sum;
};
static struct upload uploads[256];
static int uploaded;

static uint64_t sum_of(const unsigned char *bytes, size_t n)
{
	uint64_t sum = 14695981039346656037u; /* FNV-1a */
	for (size_t i = 0; i < n; i++)
		sum = (sum ^ bytes[i]) * 1099511628211u;
	return sum;
}

/* What was uploaded must still be where it was: the real device may only have read it now. */
static void settle_uploads(void)
{
	for (; uploaded > 0; uploaded--) {
		const struct upload *u = &uploads[uploaded - 1];
		if (sum_of(u->host, u->bytes) != u->sum) {
			fprintf(stderr, "cudasim: host memory of an upload was written to before the queue was waited for\n");
			abort();
		}
	}
}

extern "C" int sp_cuda_upload(void *ctx, void *device, const void *host, size_t bytes)
{
	const unsigned char *from = static_cast<const unsigned char *>(host);
	if (uploaded == sizeof uploads / sizeof *uploads)
		settle_uploads();
	uploads[uploaded++] = { from, bytes, sum_of(from, bytes) };
	return sp_cuda_copy_in(ctx, device, host, bytes);
}

extern "C" int sp_cuda_copy_out(void *, void *host, const void *device, size_t bytes)
{
	const simulator::opened open;
	if (not_recording("copied out"))
		return SP_ERR_DEVICE;
	settle_uploads();
	if (bytes)
		memcpy(host, device, bytes);
	return SP_OK;
}

extern "C" int sp_cuda_zero(void *, void *device, size_t bytes)
{
	simulator::perform([=] {
		const simulator::opened open;
		if (bytes)
			memset(device, 0, bytes);
	});
	return SP_OK;
}

extern "C" int sp_cuda_copy_rows(void *, struct sp_matrix from, struct sp_matrix to)
{
	const size_t size = sp_dtype_size(from.dtype), row = (size_t)from.cols * size;
	simulator::perform([=] {
		const simulator::opened open;
		for (int64_t i = 0; row && i < from.rows; i++)
			memcpy(static_cast<char *>(to.data) + (size_t)(i * to.stride) * size,
			       static_cast<const char *>(from.data) + (size_t)(i * from.stride) * size, row);
	});
	return SP_OK;
}

extern "C" int sp_cuda_sync(void *)
{
	if (not_recording("waited for"))
		return SP_ERR_DEVICE;
	settle_uploads();
	return SP_OK;
}

extern "C" const char *sp_cuda_queue(void *, void **queue)
{
	static struct cudasim_queue only = { simulator::open, simulator::close };
	*queue = &only;
	return "ncclsim";
}

/* ---- marks: the queue is done at once, so its clock is the host's ---- */

enum { MARKS = 1 << 16 };
static struct timespec marked[MARKS];

extern "C" int sp_cuda_mark(void *, int64_t number)
{
	if (number < 0 || number >= MARKS)
		return sp_fail(SP_ERR_MEMORY, "cudasim: no mark %lld", static_cast<long long>(number));
	return clock_gettime(CLOCK_MONOTONIC, &marked[number]) ? SP_ERR_DEVICE : SP_OK;
}

extern "C" int sp_cuda_between(void *, int64_t from, int64_t to, double *seconds)
{
	const struct timespec *a = &marked[from], *b = &marked[to];
	*seconds = static_cast<double>(b->tv_sec - a->tv_sec) + 1e-9 * static_cast<double>(b->tv_nsec - a->tv_nsec);
	return SP_OK;
}

extern "C" {
extern const struct sp_module sp_module_cudasim;
const struct sp_module sp_module_cudasim = { SP_MODULE_ABI, "cudasim", sp_cuda_probe, &sp_cuda_ops, NULL };
}
