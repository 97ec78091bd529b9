# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/backend/test_arena tests/unit/backend/test_buffers tests/unit/backend/test_checks \
	tests/unit/backend/test_launcher tests/unit/backend/test_link \
	tests/unit/backend/test_module tests/unit/backend/test_shares tests/unit/backend/test_split tests/unit/backend/test_waiting
tests_unit_backend_test_buffers_LDFLAGS = $(test_ldflags)
tests_unit_backend_test_arena_LDFLAGS = $(test_ldflags)
tests_unit_backend_test_checks_LDFLAGS = $(test_ldflags)
tests_unit_backend_test_launcher_LDFLAGS = $(test_ldflags)
tests_unit_backend_test_link_LDFLAGS = $(test_ldflags)
tests_unit_backend_test_module_LDFLAGS = $(test_ldflags)
tests_unit_backend_test_shares_LDFLAGS = $(test_ldflags)
tests_unit_backend_test_split_LDFLAGS = $(test_ldflags)
tests_unit_backend_test_waiting_LDFLAGS = $(test_ldflags)

# Modules that stand in for real ones.
if MODULES
check_LTLIBRARIES += tests/unit/backend/old/self.la tests/unit/backend/spy/cpu.la
endif
tests_unit_backend_old_self_la_SOURCES = tests/unit/backend/old/self.c
tests_unit_backend_old_self_la_LDFLAGS = $(test_module_ldflags)
tests_unit_backend_spy_cpu_la_SOURCES = tests/unit/backend/spy/cpu.c
tests_unit_backend_spy_cpu_la_LDFLAGS = $(test_module_ldflags)
