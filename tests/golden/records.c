#include "config.h"

#include "golden/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t width(char type)
{
	return type == 'd' ? 8 : 4;
}

/* 1: a record; 0: the end; -1: broken. */
static int read_one(FILE *file, struct record *r)
{
	char line[160], end;
	long long count;
	if (!fgets(line, sizeof(line), file))
		return -1;
	if (strcmp(line, "end\n") == 0)
		return 0;
	if (sscanf(line, "%111s %c %lld%c", r->name, &r->type, &count, &end) != 4 || end != '\n' || count < 0 ||
	    count > 1 << 24 || !strchr("ifd", r->type))
		return -1;
	r->count = count;
	r->data = malloc((size_t)count * width(r->type) + 1);
	if (!r->data)
		return -1;
	return fread(r->data, width(r->type), (size_t)count, file) == (size_t)count ? 1 : -1;
}

int records_read(const char *path, struct records *r)
{
	int more = -1;
	FILE *file = fopen(path, "rb");
	memset(r, 0, sizeof(*r));
	do {
		struct record *grown = file ? realloc(r->entry, (size_t)(r->count + 1) * sizeof(*grown)) : NULL;
		if (!grown)
			break;
		r->entry = grown;
		memset(&grown[r->count], 0, sizeof(*grown));
		more = read_one(file, &grown[r->count]);
		if (more != 0)
			r->count++;
	} while (more == 1);
	if (more)
		fprintf(stderr, "%s: cannot be read, or is not a whole golden file\n", path);
	if (file)
		fclose(file);
	return more;
}

void records_free(struct records *r)
{
	for (int i = 0; i < r->count; i++)
		free(r->entry[i].data);
	free(r->entry);
	memset(r, 0, sizeof(*r));
}

const struct record *records_find(const struct records *r, const char *name, char type)
{
	for (int i = 0; i < r->count; i++)
		if (strcmp(r->entry[i].name, name) == 0 && r->entry[i].type == type)
			return &r->entry[i];
	fprintf(stderr, "the golden file has no record %s of type %c\n", name, type);
	exit(1);
}

int32_t records_int(const struct records *r, const char *name)
{
	return *(const int32_t *)records_find(r, name, 'i')->data;
}

double records_number(const struct records *r, const char *name)
{
	return *(const double *)records_find(r, name, 'd')->data;
}
