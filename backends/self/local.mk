backends_self_la_SOURCES = backends/self/self.c
backends_self_la_LDFLAGS = $(module_ldflags)
backends_self_la_LIBADD = $(module_libadd)
