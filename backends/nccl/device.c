/* Streams and events by CUDA's runtime. */
#include "config.h"

#include "nccl/device.h"

#include "base/log.h"

#include <seqpar/status.h>

#include <cuda_runtime_api.h>
#include <string.h>

static int check(cudaError_t error, const char *what)
{
	if (error == cudaSuccess)
		return SP_OK;
	return sp_fail(SP_ERR_COMM, "nccl: %s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

#define CHECK(call) check((call), #call)

const char *sp_nccl_device_library(void)
{
	return "libnccl.so.2";
}

int sp_nccl_device_id(unsigned char id[SP_NCCL_GPU_ID])
{
	struct cudaDeviceProp properties;
	int device = 0, status = CHECK(cudaGetDevice(&device));
	if (!status)
		status = CHECK(cudaGetDeviceProperties(&properties, device));
	if (!status)
		memcpy(id, properties.uuid.bytes, SP_NCCL_GPU_ID);
	return status;
}

int sp_nccl_stream_create(void *queue, void **stream)
{
	cudaStream_t side;
	int least = 0, greatest = 0, status = CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
	(void)queue;
	if (!status)
		status = CHECK(cudaStreamCreateWithPriority(&side, cudaStreamNonBlocking, greatest));
	if (!status)
		*stream = side;
	return status;
}

void sp_nccl_stream_destroy(void *stream)
{
	if (stream)
		(void)CHECK(cudaStreamDestroy(stream));
}

int sp_nccl_stream_wait(void *stream, void *event)
{
	return CHECK(cudaStreamWaitEvent(stream, event, 0));
}

int sp_nccl_copy(void *to, const void *from, size_t bytes, void *stream)
{
	return bytes ? CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream)) : SP_OK;
}

int sp_nccl_event_create(int timed, void **event)
{
	cudaEvent_t made;
	const int status = CHECK(cudaEventCreateWithFlags(&made, timed ? cudaEventDefault : cudaEventDisableTiming));
	if (!status)
		*event = made;
	return status;
}

void sp_nccl_event_destroy(void *event)
{
	if (event)
		(void)CHECK(cudaEventDestroy(event));
}

int sp_nccl_event_record(void *event, void *stream)
{
	return CHECK(cudaEventRecord(event, stream));
}

int sp_nccl_event_done(void *event, int *done)
{
	const cudaError_t error = cudaEventQuery(event);
	*done = error == cudaSuccess;
	return error == cudaErrorNotReady ? SP_OK : check(error, "cudaEventQuery");
}

double sp_nccl_event_seconds(void *from, void *to)
{
	float milliseconds = 0;
	return CHECK(cudaEventElapsedTime(&milliseconds, from, to)) ? 0 : milliseconds / 1e3;
}
