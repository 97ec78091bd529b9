/* The functions of libcudnn that are called, found when they are first asked for: a build starts on a machine without the library,
 * and says that it is missing. May include: cudnn.h. */
#ifndef SP_CUDNN_LIBRARY_H
#define SP_CUDNN_LIBRARY_H

#include <cudnn.h>
#include <stddef.h>

/* The first whose forward attention is one operation of a graph; with older ones padding is needed at the ends of tiles. */
enum { SP_CUDNN_LEAST = 91301, SP_CUDNN_ANY_LENGTH = 91600 };

/* X(name): cudnnNAME */
#define SP_CUDNN_FUNCTIONS(X)                                                                                              \
	X(GetVersion) X(GetErrorString) X(GetLastErrorString) X(Create) X(Destroy) X(SetStream)                                \
	X(BackendCreateDescriptor) X(BackendDestroyDescriptor) X(BackendFinalize) X(BackendSetAttribute)                       \
	X(BackendGetAttribute) X(BackendExecute)

struct sp_cudnn_library {
#define X(name) __typeof__(&cudnn##name) name;
	SP_CUDNN_FUNCTIONS(X)
#undef X
	size_t version; /* 91900 is 9.19.0; 0: not loaded */
};
extern struct sp_cudnn_library sp_cudnn;

/* SP_OK, or SP_ERR_UNUSABLE with the reason. Loads once. */
int sp_cudnn_load(char *why, size_t size);
/* "cuDNN 9.19.0" */
void sp_cudnn_version_text(size_t version, char *text, size_t size);
/* What cuDNN says of `status`, in `why`; returns SP_ERR_UNUSABLE. */
int sp_cudnn_explain(cudnnStatus_t status, const char *what, char *why, size_t size);

#endif
