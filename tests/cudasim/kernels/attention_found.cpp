#include "cuda/attention_found.cu"
