#include "config.h"

#include "cpu/blas.h"

#ifdef HAVE_OPENBLAS

const char *sp_blas_config(void)
{
	return openblas_get_config();
}

const char *sp_blas_core(void)
{
	return openblas_get_corename();
}

enum sp_blas_threading sp_blas_threading(void)
{
	return (enum sp_blas_threading)openblas_get_parallel();
}

void sp_blas_set_threads(int threads)
{
	openblas_set_num_threads(threads);
}

int sp_blas_threads(void)
{
	return openblas_get_num_threads();
}

#else

const char *sp_blas_config(void)
{
	return "CBLAS";
}

const char *sp_blas_core(void)
{
	return "";
}

enum sp_blas_threading sp_blas_threading(void)
{
	return SP_BLAS_UNKNOWN;
}

void sp_blas_set_threads(int threads)
{
	(void)threads;
}

int sp_blas_threads(void)
{
	return 0;
}

#endif
