/* Stands in for backends/cuda/graph.c. */
#include "config.h"

#include "base/log.h"
#include "cuda/cuda.h"
#include "cudasim/graph.hpp"

#include <seqpar/status.h>

#include <stdlib.h>
#include <string.h>

namespace simulator {

struct graph *recording;

} // namespace simulator

extern "C" int sp_cuda_graph_begin(void *ctx)
{
	simulator::recording = new simulator::graph;
	static_cast<struct sp_cuda *>(ctx)->recording = 1;
	return SP_OK;
}

/* SEQPAR_CUDASIM_GRAPH=refused: nothing can be recorded. */
extern "C" int sp_cuda_graph_end(void *ctx, void **graph)
{
	struct sp_cuda *cuda = static_cast<struct sp_cuda *>(ctx);
	const char *told = getenv("SEQPAR_CUDASIM_GRAPH");
	struct simulator::graph *made = simulator::recording;
	simulator::recording = NULL;
	cuda->recording = 0;
	if (told && strcmp(told, "refused") == 0) {
		delete made;
		return sp_fail(SP_ERR_DEVICE, "cudasim: no graph, as asked for");
	}
	cuda->graphs++;
	*graph = made;
	return SP_OK;
}

extern "C" int sp_cuda_graph_launch(void *, void *graph)
{
	for (const std::function<void()> &work : static_cast<struct simulator::graph *>(graph)->work)
		work();
	return SP_OK;
}

extern "C" void sp_cuda_graph_free(void *ctx, void *graph)
{
	if (!graph)
		return;
	delete static_cast<struct simulator::graph *>(graph);
	static_cast<struct sp_cuda *>(ctx)->graphs--;
}
