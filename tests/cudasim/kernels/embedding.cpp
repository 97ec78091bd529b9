#include "cuda/embedding.cu"
