#include "cuda/activation.cu"
