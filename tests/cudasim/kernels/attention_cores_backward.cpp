#include "cuda/attention_cores_backward.cu"
