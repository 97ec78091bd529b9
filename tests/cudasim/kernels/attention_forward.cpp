#include "cuda/attention_forward.cu"
