/* Operations recorded as a CUDA graph, by capturing what they queue. */
#include "config.h"

#include "cuda/cuda.h"

#include <cuda_runtime.h>

#define CHECK(call) sp_cuda_check((int)(call), #call)

/* Other threads, such as one that writes a checkpoint or a library's own, may go on using the device. */
int sp_cuda_graph_begin(void *ctx)
{
	struct sp_cuda *cuda = ctx;
	const int status = CHECK(cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal));
	cuda->recording = !status;
	return status;
}

int sp_cuda_graph_end(void *ctx, void **graph)
{
	struct sp_cuda *cuda = ctx;
	cudaGraph_t captured = NULL;
	cudaGraphExec_t runs = NULL;
	cuda->recording = 0;
	int status = CHECK(cudaStreamEndCapture(cuda->stream, &captured));
	if (status == SP_OK)
		status = CHECK(cudaGraphInstantiateWithFlags(&runs, captured, 0));
	if (captured)
		(void)CHECK(cudaGraphDestroy(captured));
	if (status) {
		(void)cudaGetLastError(); /* the next launch asks for it */
		return status;
	}
	cuda->graphs++;
	*graph = runs;
	return SP_OK;
}

int sp_cuda_graph_launch(void *ctx, void *graph)
{
	const struct sp_cuda *cuda = ctx;
	return CHECK(cudaGraphLaunch(graph, cuda->stream));
}

void sp_cuda_graph_free(void *ctx, void *graph)
{
	struct sp_cuda *cuda = ctx;
	if (!graph)
		return;
	(void)CHECK(cudaGraphExecDestroy(graph));
	cuda->graphs--;
}
