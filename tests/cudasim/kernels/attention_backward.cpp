#include "cuda/attention_backward.cu"
