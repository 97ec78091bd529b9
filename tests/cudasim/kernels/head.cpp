#include "cuda/head.cu"
