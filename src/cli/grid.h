/* The process grid of a configuration, printed without starting ranks. May include: libc. */
#ifndef SP_CLI_GRID_H
#define SP_CLI_GRID_H

#include <stdint.h>

/* Reads `file` (NULL: none) and `n` words of settings and prints where each of `ranks` ranks stands and with whom it
 * shares what. SP_ERR_SETTING, SP_ERR_IO, logged. */
int sp_cli_print_grid(const char *file, int n, char **words, int64_t ranks);

#endif
