#include "config.h"

#include "settings/nearest.h"

#include "base/words.h"
#include "settings/table.h"

#include <limits.h>
#include <string.h>

static int least(int a, int b)
{
	return a < b ? a : b;
}

const char *sp_settings_nearest(const char *name)
{
	const char *best = "";
	int smallest = INT_MAX;
	int whole = strchr(name, '.') != NULL;
	for (const struct sp_setting_entry *e = sp_settings_table; e->name; e++) {
		/* A right key in a wrong section is nearer than the letters say. */
		const char *key = strchr(e->name, '.') + 1, *given = whole ? strchr(name, '.') + 1 : name;
		int by_key = sp_words_distance(given, key), by_all = sp_words_distance(name, e->name);
		int d = by_key * 2 + (whole && by_all > by_key), full = by_all * 2;
		if (least(d, full) < smallest) {
			smallest = least(d, full);
			best = e->name;
		}
	}
	return best;
}
