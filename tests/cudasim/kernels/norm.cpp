#include "cuda/norm.cu"
