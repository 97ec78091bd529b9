/* Amounts of memory as a person writes them. May include: base. */
#ifndef SP_CLI_AMOUNT_H
#define SP_CLI_AMOUNT_H

#include <stddef.h>

/* "16GiB", "1.5GB", "500 MiB", "4096": a number, then B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (of 1024) or
 * nothing (bytes), in any case; fractions of a byte are dropped. SP_ERR_SETTING, logged with `what` it stands for, unless
 * it is from 1 byte to 1024 TiB. */
int sp_cli_amount(const char *what, const char *text, size_t *bytes);

/* "16.0 GiB": at most four digits and a unit of 1024. Returns text. */
char *sp_cli_amount_print(size_t bytes, char text[16]);

#endif
