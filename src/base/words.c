#include "config.h"

#include "base/words.h"

#include <string.h>

enum { LONGEST = 63 }; /* names are shorter; of a longer word only the beginning is compared */

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* Optimal string alignment distance, three rows of the table at a time. */
int sp_words_distance(const char *a, const char *b)
{
	int n = (int)strnlen(a, LONGEST), m = (int)strnlen(b, LONGEST);
	int rows[3][LONGEST + 1];
	int *before = rows[0], *last = rows[1], *now = rows[2];
	for (int j = 0; j <= m; j++)
		last[j] = before[j] = j;
	for (int i = 1; i <= n; i++) {
		now[0] = i;
		for (int j = 1; j <= m; j++) {
			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
		int *free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[m];
}
