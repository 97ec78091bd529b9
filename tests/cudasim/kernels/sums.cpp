#include "cuda/sums.cu"
