#include "cuda/convert.cu"
