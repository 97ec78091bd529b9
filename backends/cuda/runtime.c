/* The device through CUDA's runtime library: finding it, its memory, its queue. The driver's library is only looked for, never
 * linked, so that this module can say that it is missing. */
#include "config.h"

#include "cuda/cuda.h"

#include "base/log.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int sp_cuda_check(int code, const char *what)
{
	if (code == cudaSuccess)
		return SP_OK;
	return sp_fail(SP_ERR_DEVICE, "cuda: %s: %s (%s)", what, cudaGetErrorString((cudaError_t)code),
	               cudaGetErrorName((cudaError_t)code));
}

#define CHECK(call) sp_cuda_check((call), #call)

/* ---- finding the device ---- */

static int has_driver(void)
{
	void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (driver)
		dlclose(driver);
	return driver != NULL;
}

/* Why cudaGetDeviceCount failed. */
static int explain(cudaError_t error, char *text, size_t size)
{
	int driver = 0, runtime = 0;
	if (error == cudaErrorNoDevice)
		return sp_say(SP_ERR_UNUSABLE, text, size, "the NVIDIA driver finds no GPU that this process may use "
		                                           "(look at CUDA_VISIBLE_DEVICES and nvidia-smi)");
	(void)cudaDriverGetVersion(&driver);
	(void)cudaRuntimeGetVersion(&runtime);
	if (error == cudaErrorInsufficientDriver && driver > 0)
		return sp_say(SP_ERR_UNUSABLE, text, size,
		              "the NVIDIA driver is for CUDA %d.%d, this build needs %d.%d: install a newer driver", driver / 1000,
		              driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
	return sp_say(SP_ERR_UNUSABLE, text, size, "%s", cudaGetErrorString(error));
}

static int capability(int device)
{
	int major = 0, minor = 0;
	if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) ||
	    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device))
		return 0;
	return major * 10 + minor;
}

int sp_cuda_probe(char *text, size_t size)
{
	struct cudaDeviceProp properties;
	int count = 0;
	/* Each communicator of module nccl has a stream of its own: none shall wait behind another's kernel. */
	setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
	if (!has_driver())
		return sp_say(SP_ERR_UNUSABLE, text, size, "no NVIDIA driver (libcuda.so.1)");
	const cudaError_t error = cudaGetDeviceCount(&count);
	if (error || count == 0)
		return explain(error ? error : cudaErrorNoDevice, text, size);
	for (int i = 0; i < count; i++)
		if (capability(i) < SP_CUDA_LOWEST_ARCH)
			return sp_say(SP_ERR_UNUSABLE, text, size,
			              "GPU %d has compute capability %d.%d, this build is for %d.%d and later (--with-cuda-arch, or "
			              "leave the GPU out with CUDA_VISIBLE_DEVICES)",
			              i, capability(i) / 10, capability(i) % 10, SP_CUDA_LOWEST_ARCH / 10, SP_CUDA_LOWEST_ARCH % 10);
	if (cudaGetDeviceProperties(&properties, 0))
		return sp_say(SP_ERR_UNUSABLE, text, size, "GPU 0 does not answer");
	return sp_say(SP_OK, text, size, "%d GPU%s, %s", count, count == 1 ? "" : "s", properties.name);
}

int sp_cuda_runtime_open(struct sp_cuda *cuda, int number)
{
	cudaStream_t stream;
	int count = 0;
	int status = CHECK(cudaGetDeviceCount(&count));
	if (status)
		return status;
	cuda->device = number % count;
	status = CHECK(cudaSetDevice(cuda->device));
	if (status == SP_OK)
		status = CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	if (status == SP_OK)
		cuda->stream = stream;
	return status;
}

void sp_cuda_runtime_close(struct sp_cuda *cuda)
{
	for (int64_t i = 0; i < cuda->mark_count; i++)
		(void)CHECK(cudaEventDestroy(cuda->marks[i]));
	free(cuda->marks);
	cuda->marks = NULL;
	cuda->mark_count = 0;
	if (cuda->stream)
		(void)CHECK(cudaStreamDestroy(cuda->stream));
	cuda->stream = NULL;
}

void sp_cuda_runtime_describe(const struct sp_cuda *cuda, char *text, size_t size)
{
	struct cudaDeviceProp p;
	int driver = 0, runtime = 0;
	if (CHECK(cudaGetDeviceProperties(&p, cuda->device)) || CHECK(cudaDriverGetVersion(&driver)) ||
	    CHECK(cudaRuntimeGetVersion(&runtime)))
		return;
	snprintf(text, size, "GPU %d: %s, sm_%d%d, %d multiprocessors, %zu MiB; CUDA %d.%d, driver for %d.%d", cuda->device, p.name,
	         p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem >> 20, runtime / 1000, runtime % 1000 / 10,
	         driver / 1000, driver % 1000 / 10);
}

int sp_cuda_capability(const struct sp_cuda *cuda)
{
	return capability(cuda->device);
}

size_t sp_cuda_shared_limit(const struct sp_cuda *cuda)
{
	int bytes = 0;
	return CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, cuda->device)) ? 0 : (size_t)bytes;
}

int64_t sp_cuda_stream_elements(const struct sp_cuda *cuda)
{
	(void)cuda;
	return 256 << 20;
}

/* ---- memory and queue ---- */

int sp_cuda_alloc(void *ctx, size_t bytes, void **memory)
{
	size_t unused = 0, total = 0;
	(void)ctx;
	const cudaError_t error = cudaMalloc(memory, bytes ? bytes : 1);
	if (error != cudaErrorMemoryAllocation)
		return sp_cuda_check(error, "cudaMalloc");
	(void)cudaGetLastError();
	(void)cudaMemGetInfo(&unused, &total);
	return sp_fail(SP_ERR_MEMORY,
	               "cuda: no memory for %zu MiB on the GPU: %zu of %zu MiB are free (what else runs there: nvidia-smi)",
	               bytes >> 20, unused >> 20, total >> 20);
}

void sp_cuda_free(void *ctx, void *memory)
{
	(void)ctx;
	(void)CHECK(cudaFree(memory));
}

static int move(struct sp_cuda *cuda, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
	if (bytes == 0)
		return SP_OK;
	const int status = CHECK(cudaMemcpyAsync(to, from, bytes, kind, cuda->stream));
	return status ? status : sp_cuda_sync(cuda);
}

int sp_cuda_copy_in(void *ctx, void *device, const void *host, size_t bytes)
{
	return move(ctx, device, host, bytes, cudaMemcpyHostToDevice);
}

int sp_cuda_copy_out(void *ctx, void *host, const void *device, size_t bytes)
{
	return move(ctx, host, device, bytes, cudaMemcpyDeviceToHost);
}

int sp_cuda_upload(void *ctx, void *device, const void *host, size_t bytes)
{
	const struct sp_cuda *cuda = ctx;
	return bytes ? CHECK(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, cuda->stream)) : SP_OK;
}

int sp_cuda_zero(void *ctx, void *device, size_t bytes)
{
	const struct sp_cuda *cuda = ctx;
	return bytes ? CHECK(cudaMemsetAsync(device, 0, bytes, cuda->stream)) : SP_OK;
}

int sp_cuda_copy_rows(void *ctx, struct sp_matrix from, struct sp_matrix to)
{
	const struct sp_cuda *cuda = ctx;
	const size_t size = sp_dtype_size(from.dtype), row = (size_t)from.cols * size;
	if (row == 0 || from.rows == 0)
		return SP_OK;
	return CHECK(cudaMemcpy2DAsync(to.data, (size_t)to.stride * size, from.data, (size_t)from.stride * size, row,
	                               (size_t)from.rows, cudaMemcpyDeviceToDevice, cuda->stream));
}

int sp_cuda_sync(void *ctx)
{
	const struct sp_cuda *cuda = ctx;
	return CHECK(cudaStreamSynchronize(cuda->stream));
}

int sp_cuda_alloc_host(void *ctx, size_t bytes, void **memory)
{
	(void)ctx;
	const cudaError_t error = cudaMallocHost(memory, bytes ? bytes : 1);
	if (error != cudaErrorMemoryAllocation)
		return sp_cuda_check(error, "cudaMallocHost");
	(void)cudaGetLastError();
	return sp_fail(SP_ERR_MEMORY, "cuda: no page-locked host memory for %zu MiB (look at ulimit -l)", bytes >> 20);
}

void sp_cuda_free_host(void *ctx, void *memory)
{
	(void)ctx;
	if (memory)
		(void)CHECK(cudaFreeHost(memory));
}

const char *sp_cuda_queue(void *ctx, void **queue)
{
	const struct sp_cuda *cuda = ctx;
	*queue = cuda->stream;
	return "nccl";
}

/* ---- marks ---- */

static int add_mark(struct sp_cuda *cuda)
{
	void **marks = realloc(cuda->marks, (size_t)(cuda->mark_count + 1) * sizeof *marks);
	cudaEvent_t event;
	if (!marks)
		return sp_fail(SP_ERR_MEMORY, "cuda: out of memory for %lld marks", (long long)cuda->mark_count + 1);
	cuda->marks = marks;
	const int status = CHECK(cudaEventCreate(&event));
	if (status == SP_OK)
		cuda->marks[cuda->mark_count++] = event;
	return status;
}

int sp_cuda_mark(void *ctx, int64_t number)
{
	struct sp_cuda *cuda = ctx;
	int status = SP_OK;
	while (status == SP_OK && cuda->mark_count <= number)
		status = add_mark(cuda);
	return status ? status : CHECK(cudaEventRecord(cuda->marks[number], cuda->stream));
}

int sp_cuda_between(void *ctx, int64_t from, int64_t to, double *seconds)
{
	const struct sp_cuda *cuda = ctx;
	float milliseconds = 0;
	const int status = CHECK(cudaEventElapsedTime(&milliseconds, cuda->marks[from], cuda->marks[to]));
	if (status == SP_OK)
		*seconds = milliseconds / 1e3;
	return status;
}
