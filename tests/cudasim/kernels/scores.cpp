#include "cuda/scores.cu"
