/* The machine as hwloc and the processor describe it. May include: libc. */
#ifndef SP_CLI_MACHINE_H
#define SP_CLI_MACHINE_H

/* Prints processor, cores, caches, memory and vector instructions to standard output. */
void sp_cli_print_machine(void);

#endif
