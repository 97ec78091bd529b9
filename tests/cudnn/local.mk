# Execution plans by the real cuDNN for a described GPU. tests/cudnn/libcuda.la is what cuDNN takes for the driver; its file is called as
# the driver's, lies in the build tree only and is never installed.
if HAVE_CUDNN
if MODULES
check_LTLIBRARIES += tests/cudnn/libcuda.la
unit_tests += tests/cudnn/test_plans
endif
endif
tests_cudnn_libcuda_la_SOURCES = tests/cudnn/driver.c
tests_cudnn_libcuda_la_LDFLAGS = $(AM_LDFLAGS) -shared -version-info 1:0:0 -rpath /nowhere
tests_cudnn_test_plans_SOURCES = tests/cudnn/test_plans.c $(cudnn_plan_sources)
tests_cudnn_test_plans_CPPFLAGS = $(AM_CPPFLAGS) $(CUDNN_CPPFLAGS)
tests_cudnn_test_plans_LDFLAGS = $(test_ldflags) $(CUDNN_RPATH)
EXTRA_tests_cudnn_test_plans_DEPENDENCIES = tests/cudnn/libcuda.la
