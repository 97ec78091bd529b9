/* seqpar info: what this build and this machine can do. */
#include "config.h"

#include "cli/command.h"

#include "backend/module.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: seqpar info\n\n"
	"Prints the version, the backend modules and why one cannot be used.\n";

static void print_module(const char *name)
{
	char text[512] = "";
	const struct sp_module *module;
	sp_module_probe(name, &module, text, sizeof text);
	printf("  %-6s %s\n", name, text);
}

int sp_cli_info(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		fputs(help, stdout);
		return SP_EXIT_DONE;
	}
	puts(PACKAGE_STRING);
	puts("modules");
	for (size_t i = 0; sp_module_name(i); i++)
		print_module(sp_module_name(i));
	return SP_EXIT_DONE;
}
