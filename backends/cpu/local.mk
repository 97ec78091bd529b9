# cpu.c and the files that share out work between threads are compiled for the baseline; kernels once per instruction
# set. No other file may get -m flags.
cpu_kernel_sources =
backends_cpu_la_SOURCES = backends/cpu/cpu.c
backends_cpu_la_LDFLAGS = $(module_ldflags)
