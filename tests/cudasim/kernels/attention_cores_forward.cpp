#include "cuda/attention_cores_forward.cu"
