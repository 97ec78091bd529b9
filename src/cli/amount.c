#include "config.h"

#include "cli/amount.h"

#include "base/log.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const struct {
	const char *name;
	double bytes;
} units[] = {
	{ "", 1 },          { "B", 1 },       { "kB", 1e3 },     { "MB", 1e6 },      { "GB", 1e9 },
	{ "TB", 1e12 },     { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 }, { "TiB", 0x1p40 },
};

static double unit_of(const char *name)
{
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strcasecmp(name, units[i].name) == 0)
			return units[i].bytes;
	return 0;
}

int sp_cli_amount(const char *what, const char *text, size_t *bytes)
{
	char *end = (char *)text;
	const double number = isdigit((unsigned char)text[0]) || text[0] == '.' ? strtod(text, &end) : 0;
	while (end > text && *end == ' ')
		end++;
	const double amount = end > text ? number * unit_of(end) : 0;
	if (!(amount >= 1 && amount <= 0x1p50))
		return sp_fail(SP_ERR_SETTING,
		               "%s: \"%s\" is not an amount of memory from 1 byte to 1024 TiB; write 16GiB, 1500MiB, 16GB or bytes",
		               what, text);
	*bytes = (size_t)amount;
	return SP_OK;
}

char *sp_cli_amount_print(size_t bytes, char text[16])
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double amount = (double)bytes;
	int i = 0;
	for (; amount >= 1000 && i < 6; i++)
		amount /= 1024;
	snprintf(text, 16, amount < 10 && i > 0 ? "%.2f %s" : amount < 100 && i > 0 ? "%.1f %s" : "%.0f %s", amount, names[i]);
	return text;
}
