/* The manual page of the settings says what the table says. With the argument "print" this program writes the part of
 * the page that the table decides, to be put between the header and the notes of doc/seqpar-settings.5. */
#include "config.h"

#include "settings/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add(char *text, size_t size, const char *words)
{
	size_t n = strlen(text);
	for (; *words && n + 3 < size; words++) {
		if (*words == '-' || *words == '\\')
			text[n++] = '\\';
		text[n++] = *words;
	}
	text[n] = 0;
}

/* One setting in roff. */
static void render(const struct sp_setting_row *row, char *text, size_t size)
{
	text[0] = 0;
	strcat(text, ".TP\n.B ");
	add(text, size, row->name);
	add(text, size, " = ");
	add(text, size, row->type);
	add(text, size, "\n");
	add(text, size, row->help);
	add(text, size, "\nDefault: ");
	add(text, size, row->initial[0] ? row->initial : "empty");
	if (row->range[0]) {
		add(text, size, "; range ");
		add(text, size, row->range);
	}
	add(text, size, ".\n");
}

/* The section of a name, with its dot. */
static int same_section(const char *a, const char *b)
{
	return strncmp(a, b, strcspn(a, ".") + 1) == 0;
}

static void print(void)
{
	struct sp_setting_row row;
	const char *before = "";
	for (size_t i = 0; !sp_settings_row(i, &row); i++) {
		char text[2048];
		if (!same_section(row.name, before))
			printf(".SS [%.*s]\n", (int)strcspn(row.name, "."), row.name);
		render(&row, text, sizeof text);
		fputs(text, stdout);
		before = row.name;
	}
}

static void every_setting_is_in_the_manual_page_as_in_the_table(void **state)
{
	(void)state;
	static char page[1 << 16];
	char file[1024], text[2048];
	const char *top = getenv("top_srcdir");
	snprintf(file, sizeof file, "%s/doc/seqpar-settings.5", top ? top : ".");
	FILE *f = fopen(file, "r");
	assert_non_null(f);
	size_t n = fread(page, 1, sizeof page - 1, f);
	page[n] = 0;
	fclose(f);
	struct sp_setting_row row;
	size_t rows = 0, entries = 0;
	for (; !sp_settings_row(rows, &row); rows++) {
		render(&row, text, sizeof text);
		if (!strstr(page, text))
			fail_msg("%s lacks, or says differently:\n%s", file, text);
	}
	for (const char *at = page; (at = strstr(at, "\n.TP\n.B ")); at++)
		entries++;
	assert_int_equal(entries, rows);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "print") == 0) {
		print();
		return 0;
	}
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_setting_is_in_the_manual_page_as_in_the_table) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
