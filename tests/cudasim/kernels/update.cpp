#include "cuda/update.cu"
