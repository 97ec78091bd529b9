#include "cuda/rotate.cu"
