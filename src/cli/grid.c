#include "config.h"

#include "cli/grid.h"

#include "base/log.h"
#include "parallel/grid.h"
#include "settings/settings.h"

#include <stdio.h>

enum { SHOWN = 8 }; /* ranks of a group that are named */

static int read_settings(struct sp_settings *s, const char *file, int n, char **words)
{
	sp_settings_default(s);
	int status = file ? sp_settings_read(s, file) : SP_OK;
	for (int i = 0; i < n && !status; i++)
		status = sp_settings_word(s, words[i]);
	return status;
}

/* The ranks of the group that `rank` is in: "0 2 4". */
static void print_group(const struct sp_grid_point *shape, enum sp_group group, int rank, int ranks)
{
	const int colour = sp_group_colour(shape, group, rank);
	char text[16 * SHOWN] = "";
	int shown = 0;
	size_t at = 0;
	for (int other = 0; other < ranks && shown <= SHOWN; other++) {
		if (sp_group_colour(shape, group, other) != colour)
			continue;
		at += (size_t)snprintf(text + at, sizeof text - at, shown == SHOWN ? " ..." : at ? " %d" : "%d", other);
		shown++;
	}
	printf("  %-*s", 24, text);
}

static void print_rank(const struct sp_grid_point *shape, int rank, int ranks)
{
	const struct sp_grid_point place = sp_grid_place(shape, rank);
	printf("%5d", rank);
	for (int axis = 0; axis < SP_AXES; axis++)
		printf(" %9d", place.at[axis]);
	for (int group = 0; group < SP_GROUPS; group++)
		print_group(shape, (enum sp_group)group, rank, ranks);
	putchar('\n');
}

static void print_head(const struct sp_grid_point *shape, int ranks)
{
	printf("%d ranks =", ranks);
	for (int axis = 0; axis < SP_AXES; axis++)
		printf(" %s%d %s", axis ? "x " : "", shape->at[axis], sp_axis_name((enum sp_axis)axis));
	printf("\n\n%5s", "rank");
	for (int axis = 0; axis < SP_AXES; axis++)
		printf(" %9s", sp_axis_name((enum sp_axis)axis));
	for (int group = 0; group < SP_GROUPS; group++) {
		char title[32];
		snprintf(title, sizeof title, "%s group", sp_group_name((enum sp_group)group));
		printf("  %-*s", 24, title);
	}
	putchar('\n');
}

int sp_cli_print_grid(const char *file, int n, char **words, int64_t ranks)
{
	struct sp_settings s;
	struct sp_grid_point shape;
	int status = read_settings(&s, file, n, words);
	if (!status)
		status = sp_grid_shape((int)ranks, s.parallel.pipeline, s.parallel.sequence, s.parallel.tensor, &shape);
	if (status)
		return status;
	print_head(&shape, (int)ranks);
	for (int rank = 0; rank < ranks; rank++)
		print_rank(&shape, rank, (int)ranks);
	return SP_OK;
}
