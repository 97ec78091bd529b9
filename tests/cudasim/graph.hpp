/* What the simulated device is asked to do, done at once or, while a graph is recorded, later. May include: libstdc++. */
#ifndef SP_TESTS_CUDASIM_GRAPH_HPP
#define SP_TESTS_CUDASIM_GRAPH_HPP

#include <functional>
#include <vector>

namespace simulator {

struct graph {
	std::vector<std::function<void()>> work;
};
extern struct graph *recording; /* NULL: no graph is */

/* `work` holds copies of all that it needs of the host. */
template <class Work> void perform(const Work &work)
{
	if (recording)
		recording->work.push_back(work);
	else
		work();
}

} // namespace simulator

#endif
