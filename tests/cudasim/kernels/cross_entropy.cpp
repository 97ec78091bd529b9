#include "cuda/cross_entropy.cu"
