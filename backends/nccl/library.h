/* The functions of libnccl that are called, found when the module is probed: a build starts on a machine without the library,
 * and says that it is missing. May include: nccl.h. */
#ifndef SP_NCCL_LIBRARY_H
#define SP_NCCL_LIBRARY_H

#include <nccl.h>
#include <stddef.h>

/* X(name): ncclNAME */
#define SP_NCCL_FUNCTIONS(X)                                                                                               \
	X(GetVersion) X(GetUniqueId) X(GetErrorString) X(GetLastError)                                                         \
	X(CommInitRankConfig) X(CommSplit) X(CommCount) X(CommUserRank) X(CommGetAsyncError) X(CommFinalize) X(CommDestroy) X(CommAbort)                    \
	X(GroupStart) X(GroupEnd) X(Send) X(Recv) X(AllReduce) X(AllGather) X(ReduceScatter)

struct sp_nccl_library {
#define X(name) __typeof__(&nccl##name) name;
	SP_NCCL_FUNCTIONS(X)
#undef X
	int version; /* 22809 is 2.28.9 */
};
extern struct sp_nccl_library sp_nccl;

/* SP_OK, or SP_ERR_UNUSABLE with the reason. Loads once. */
int sp_nccl_load(char *why, size_t size);
/* "2.28.9" */
void sp_nccl_version_text(int version, char *text, size_t size);

#endif
