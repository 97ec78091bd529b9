/* Runs a fuzz target over files, without any fuzzer: those named, or (fuzz_NAME without arguments) all of
 * $srcdir/tests/fuzz/corpus/NAME. Small files are also run with every beginning of theirs and with every byte changed in
 * a few ways, which finds much of what a fuzzer would find first. */
#include "config.h"

#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FILE_MOST = 1 << 20,  /* bytes */
	SMALL = 1 << 10,      /* bytes of a file that is also run in its changed forms */
};

/* A copy of exactly this size, so that a memory checker sees the first byte read beyond it. */
static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void run_neighbours(uint8_t *bytes, size_t size)
{
	static const uint8_t changes[] = { 0x01, 0x80, 0xff };
	for (size_t i = 0; i < size; i++) {
		run(bytes, i);
		for (size_t c = 0; c < sizeof changes; c++) {
			bytes[i] ^= changes[c];
			run(bytes, size);
			bytes[i] ^= changes[c];
		}
	}
}

static int run_file(const char *path)
{
	static uint8_t bytes[FILE_MOST];
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return 0;
	}
	const size_t size = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	run(bytes, size);
	if (size <= SMALL)
		run_neighbours(bytes, size);
	return 1;
}

static int run_directory(const char *path)
{
	struct dirent *entry;
	DIR *directory = opendir(path);
	int files = 0;
	while (directory && (entry = readdir(directory)) != NULL) {
		char name[2048];
		snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
		files += entry->d_name[0] != '.' && run_file(name);
	}
	if (directory)
		closedir(directory);
	if (files == 0)
		fprintf(stderr, "%s: no corpus\n", path);
	printf("%s: %d files\n", path, files);
	return files > 0;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/'), *top = getenv("srcdir");
	char path[1024];
	int good = 1;
	for (int i = 1; i < argc; i++)
		good &= run_file(argv[i]);
	if (argc > 1)
		return !good;
	name = name ? name + 1 : argv[0];
	snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", top ? top : ".", name + strlen("fuzz_"));
	return !run_directory(path);
}
