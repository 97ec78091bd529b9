#include "cuda/attention_rows.cu"
