/* Stands in for NVIDIA's driver, libcuda.so.1, where there is none: cuDNN makes plans for a device that is only described, but wants to
 * load the code it has compiled. That it may; anything else fails. Only for tests, never installed. May include: libc. */

enum { SUCCESS = 0, SYSTEM_NOT_READY = 802, CUDA = 13000 };

/* Loading code, and setting how it shall be launched. */
#define ALLOWED(X)                                                                                                         \
	X(cuLibraryUnload) X(cuKernelSetAttribute) X(cuFuncSetAttribute)

#define REFUSED(X)                                                                                                         \
	X(cuInit) X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetAttribute) X(cuDevicePrimaryCtxRelease)                      \
	X(cuDevicePrimaryCtxReset) X(cuDevicePrimaryCtxRetain) X(cuCtxGetCurrent) X(cuCtxGetDevice) X(cuCtxGetLimit)           \
	X(cuCtxPopCurrent) X(cuCtxPushCurrent) X(cuFuncGetAttribute) X(cuKernelGetAttribute) X(cuLaunchCooperativeKernel)      \
	X(cuLaunchKernel) X(cuLaunchKernelEx) X(cuLibraryLoadFromFile) X(cuLinkAddData) X(cuLinkAddData_v2)                    \
	X(cuLinkAddFile_v2) X(cuLinkComplete) X(cuLinkCreate) X(cuLinkCreate_v2) X(cuLinkDestroy) X(cuMemcpyDtoH_v2)           \
	X(cuModuleGetFunction) X(cuModuleGetGlobal_v2) X(cuModuleLoadData) X(cuModuleLoadDataEx) X(cuModuleLoadFatBinary)      \
	X(cuModuleUnload) X(cuOccupancyMaxActiveBlocksPerMultiprocessor) X(cuOccupancyMaxPotentialClusterSize)                 \
	X(cuStreamGetCtx) X(cuStreamSynchronize) X(cuTensorMapEncodeTiled)

#define ALLOW(name)                                                                                                        \
	int name(void);                                                                                                        \
	int name(void)                                                                                                         \
	{                                                                                                                      \
		return SUCCESS;                                                                                                    \
	}
ALLOWED(ALLOW)

#define REFUSE(name)                                                                                                       \
	int name(void);                                                                                                        \
	int name(void)                                                                                                         \
	{                                                                                                                      \
		return SYSTEM_NOT_READY;                                                                                           \
	}
REFUSED(REFUSE)

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version)
{
	*version = CUDA;
	return SUCCESS;
}

static int say(const char **text)
{
	*text = "there is no driver: this is a test";
	return SUCCESS;
}

int cuGetErrorString(int error, const char **text);
int cuGetErrorString(int error, const char **text)
{
	(void)error;
	return say(text);
}

int cuGetErrorName(int error, const char **text);
int cuGetErrorName(int error, const char **text)
{
	(void)error;
	return say(text);
}

/* Something that is not NULL. */
static char loaded;

int cuLibraryLoadData(void **library);
int cuLibraryLoadData(void **library)
{
	*library = &loaded;
	return SUCCESS;
}

int cuLibraryGetKernel(void **kernel);
int cuLibraryGetKernel(void **kernel)
{
	*kernel = &loaded;
	return SUCCESS;
}
