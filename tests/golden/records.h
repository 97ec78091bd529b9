/* Reader of golden files; their form is described in make_golden.py. May include: libc. */
#ifndef TESTS_GOLDEN_RECORDS_H
#define TESTS_GOLDEN_RECORDS_H

#include <stdint.h>

struct record {
	char name[112];
	char type; /* i int32, f float32, d float64 */
	int64_t count;
	void *data;
};

struct records {
	struct record *entry;
	int count;
};

/* Nonzero, said on standard error, if the file is not there or not whole. */
int records_read(const char *path, struct records *r);
void records_free(struct records *r);
/* Ends the program, and says why, if there is none of that name and type: file and test do not belong together. */
const struct record *records_find(const struct records *r, const char *name, char type);
int32_t records_int(const struct records *r, const char *name);
double records_number(const struct records *r, const char *name);

#endif
