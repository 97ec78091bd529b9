/* The checksums of a checkpoint name whatever is wrong with it, and pieces written apart give the sum of the whole. */
#include "config.h"

#include "support.h"

#include "checkpoint/manifest.h"
#include "checkpoint/pieces.h"
#include "unit/data/scratch.h"

#include <fcntl.h>
#include <seqpar/status.h>

enum { BYTES = 100000 };
static unsigned char contents[BYTES];
static char why[512];

static int make(void **state)
{
	(void)state;
	struct sp_manifest m = { .count = 0 };
	scratch_make();
	for (int i = 0; i < BYTES; i++)
		contents[i] = (unsigned char)(i * 2654435761u >> 24);
	scratch_write("model", contents, BYTES);
	scratch_write("vocab.txt", contents, 77);
	scratch_write("nothing", contents, 0);
	sp_manifest_add(&m, "model", BYTES, sp_manifest_crc(0, contents, BYTES));
	sp_manifest_add(&m, "vocab.txt", 77, sp_manifest_crc(0, contents, 77));
	sp_manifest_add(&m, "nothing", 0, 0);
	return sp_manifest_write(&m, scratch, why, sizeof why);
}

static int clear(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

static void says(int status, const char *words)
{
	if (status == SP_OK || !strstr(why, words))
		fail_msg("status %d, \"%s\" lacks \"%s\"", status, why, words);
}

static int verify(void)
{
	return sp_manifest_verify(scratch, why, sizeof why);
}

static void what_was_written_is_read_and_agrees(void **state)
{
	(void)state;
	struct sp_manifest m;
	assert_int_equal(verify(), SP_OK);
	assert_int_equal(sp_manifest_glance(scratch, why, sizeof why), SP_OK);
	assert_int_equal(sp_manifest_read(scratch, &m, why, sizeof why), SP_OK);
	assert_int_equal(m.count, 3);
	assert_int_equal(sp_manifest_find(&m, "vocab.txt")->bytes, 77);
	assert_null(sp_manifest_find(&m, "vocab"));
}

static void a_checksum_is_that_of_every_other_crc32_program(void **state)
{
	(void)state;
	assert_int_equal(sp_manifest_crc(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(sp_manifest_crc(sp_manifest_crc(0, "1234", 4), "56789", 5), 0xcbf43926);
	assert_int_equal(
		sp_manifest_crc_join(sp_manifest_crc(0, "1234", 4), sp_manifest_crc(0, "56789", 5), 5), 0xcbf43926);
}

static void a_damaged_file_is_named_with_its_damage(void **state)
{
	(void)state;
	scratch_write("model", contents, BYTES - 1);
	says(verify(), "model is cut short: 99999 bytes instead of 100000");
	says(sp_manifest_glance(scratch, why, sizeof why), "model is cut short");
	scratch_write("model", contents, 0);
	says(verify(), "model is empty");
	contents[BYTES / 2] ^= 4;
	scratch_write("model", contents, BYTES);
	says(verify(), "model is damaged: checksum");
	assert_int_equal(sp_manifest_glance(scratch, why, sizeof why), SP_OK);
	contents[BYTES / 2] ^= 4;
	scratch_write("model", contents, BYTES);
	scratch_write("vocab.txt", contents, 78);
	says(verify(), "vocab.txt is too long");
	remove(scratch_path("vocab.txt"));
	says(verify(), "vocab.txt is missing");
	mkdir(scratch_path("vocab.txt"), 0777);
	says(verify(), "vocab.txt is not a file");
	says(sp_manifest_verify(scratch_path("absent"), why, sizeof why), "checksums is missing");
}

/* Whatever is cut off, and whichever bit is turned over. */
static void damage_to_the_checksums_themselves_is_noticed(void **state)
{
	(void)state;
	size_t n;
	unsigned char *text = scratch_read("checksums", &n);
	for (size_t cut = 0; cut < n; cut++) {
		scratch_write("checksums", text, cut);
		says(verify(), cut ? "checksums is" : "checksums is empty");
	}
	for (size_t bit = 0; bit < 8 * n; bit++) {
		text[bit / 8] ^= (unsigned char)(1 << bit % 8);
		scratch_write("checksums", text, n);
		says(verify(), "checksums ");
		text[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	scratch_write("checksums", text, n);
	assert_int_equal(verify(), SP_OK);
	remove(scratch_path("checksums"));
	says(verify(), "checksums is missing");
	free(text);
}

/* Lines that are summed up rightly, but by somebody else. */
static void foreign_names_are_refused(void **state)
{
	(void)state;
	static const char *const names[] = { "../model", "/etc/passwd", ".hidden", "a/b" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char text[256];
		int n = snprintf(text, sizeof text, "seqpar checksums 1\n00000000 0 %s\n", names[i]);
		n += snprintf(text + n, sizeof text - (size_t)n, "%08x %d checksums\n",
		              (unsigned)sp_manifest_crc(0, text, (size_t)n), n);
		scratch_write("checksums", text, (size_t)n);
		says(verify(), "of a form that this version does not know");
	}
}

static void pieces_in_any_order_give_the_sum_of_the_file(void **state)
{
	(void)state;
	float values[40000];
	struct sp_piece piece[5] = {
		{ .begin = 0, .file = 0 }, { .begin = 10, .file = 0 },  { .begin = 0, .file = 1 },
		{ .begin = 0, .file = 0 }, { .begin = 170, .file = 0 },
	};
	uint32_t crc;
	for (int i = 0; i < 40000; i++)
		values[i] = (float)i * 0.37f - 5;
	int fd = open(scratch_path("pieces"), O_RDWR | O_CREAT, 0666);
	assert_int_equal(sp_piece_put_floats(&piece[4], fd, "pieces", values + 40, 39960, why, sizeof why), SP_OK);
	assert_int_equal(sp_piece_put_floats(&piece[1], fd, "pieces", values, 40, why, sizeof why), SP_OK);
	assert_int_equal(sp_piece_put(&piece[0], fd, "pieces", "0123456789", 10, why, sizeof why), SP_OK);
	close(fd);
	piece[2].end = 5;
	piece[3].end = 0; /* a rank that has nothing of a tensor */
	size_t n;
	unsigned char *bytes = scratch_read("pieces", &n);
	assert_int_equal(n, 160010);
	assert_int_equal(sp_pieces_join(piece, 5, 0, n, &crc, why, sizeof why), SP_OK);
	assert_int_equal(crc, sp_manifest_crc(0, bytes, n));
	assert_memory_equal(bytes + 10, values, sizeof values);
	free(bytes);
	says(sp_pieces_join(piece, 5, 0, n + 1, &crc, why, sizeof why), "pieces");
	says(sp_pieces_join(piece + 2, 3, 0, n, &crc, why, sizeof why), "pieces"); /* sorted by now */
	piece[1].begin++;
	says(sp_pieces_join(piece, 5, 0, n, &crc, why, sizeof why), "pieces");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_written_is_read_and_agrees, make, clear),
		cmocka_unit_test(a_checksum_is_that_of_every_other_crc32_program),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_named_with_its_damage, make, clear),
		cmocka_unit_test_setup_teardown(damage_to_the_checksums_themselves_is_noticed, make, clear),
		cmocka_unit_test_setup_teardown(foreign_names_are_refused, make, clear),
		cmocka_unit_test_setup_teardown(pieces_in_any_order_give_the_sum_of_the_file, make, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
