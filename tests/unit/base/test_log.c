/* A message is one line, written at once. Standard error is a datagram socket here: each write arrives as a packet. */
#include "config.h"

#include "support.h"

#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int kept_stderr, reader;

static int catch_stderr(void **state)
{
	int pair[2];
	(void)state;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) != 0)
		return -1;
	reader = pair[0];
	kept_stderr = dup(STDERR_FILENO);
	dup2(pair[1], STDERR_FILENO);
	close(pair[1]);
	sp_log_prefix("");
	sp_log_level(SP_LOG_WARNING);
	return 0;
}

static int give_stderr_back(void **state)
{
	(void)state;
	sp_log_release();
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	close(reader);
	return 0;
}

/* The next write as text, or "" if there was none. */
static const char *written(void)
{
	static char text[16384];
	ssize_t n = recv(reader, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = 0;
	return text;
}

static void each_message_is_one_write_of_one_line(void **state)
{
	(void)state;
	sp_log(SP_LOG_WARNING, "%s has %d heads", "a model", 3);
	sp_log(SP_LOG_ERROR, "second");
	assert_string_equal(written(), "seqpar: warning: a model has 3 heads\n");
	assert_string_equal(written(), "seqpar: error: second\n");
	assert_string_equal(written(), "");
}

/* Text of other libraries and names of files come with line ends of their own. */
static void line_ends_and_commands_inside_a_message_become_spaces(void **state)
{
	(void)state;
	sp_log(SP_LOG_ERROR, "%s: %s", "a\nb", "two\r\nlines\n");
	assert_string_equal(written(), "seqpar: error: a b: two  lines \n");
	sp_log(SP_LOG_ERROR, "a name \033[2J\a with commands \177 \xC3\xA9");
	assert_string_equal(written(), "seqpar: error: a name  [2J  with commands   \xC3\xA9\n");
}

static void levels_above_the_chosen_one_are_dropped(void **state)
{
	(void)state;
	sp_log(SP_LOG_INFO, "not heard");
	assert_string_equal(written(), "");
	sp_log_level(SP_LOG_DEBUG);
	sp_log(SP_LOG_DEBUG, "heard");
	assert_string_equal(written(), "seqpar: debug: heard\n");
	sp_log_level(SP_LOG_ERROR);
	sp_log(SP_LOG_WARNING, "not heard");
	assert_string_equal(written(), "");
	sp_log_level(SP_LOG_NONE);
	assert_int_equal(sp_fail(SP_ERR_IO, "not heard"), SP_ERR_IO);
	assert_string_equal(written(), "");
}

static void the_prefix_stands_before_each_message(void **state)
{
	char longer[100];
	(void)state;
	sp_log_prefix("rank 3");
	sp_log(SP_LOG_ERROR, "x");
	assert_string_equal(written(), "seqpar: rank 3: error: x\n");
	memset(longer, 'p', sizeof longer);
	longer[99] = 0;
	sp_log_prefix(longer);
	sp_log(SP_LOG_ERROR, "x");
	longer[63] = 0;
	char want[128];
	snprintf(want, sizeof want, "seqpar: %s: error: x\n", longer);
	assert_string_equal(written(), want);
}

static void a_message_that_is_too_long_is_cut_and_still_a_line(void **state)
{
	char longer[5000];
	(void)state;
	memset(longer, 'y', sizeof longer);
	for (size_t n = 1900; n < 2200; n++) {
		longer[n] = 0;
		sp_log(SP_LOG_ERROR, "%s", longer);
		longer[n] = 'y';
		const char *text = written();
		const size_t all = strlen("seqpar: error: ") + n + 1;
		assert_int_equal(strlen(text), all < 2047 ? all : 2047);
		assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	}
}

static void fail_logs_an_error_and_passes_the_status_on(void **state)
{
	(void)state;
	assert_int_equal(sp_fail(SP_ERR_IO, "%s: %s", "file", "gone"), SP_ERR_IO);
	assert_string_equal(written(), "seqpar: error: file: gone\n");
}

static void say_writes_to_the_text_only(void **state)
{
	char text[8] = "zzzzzzz";
	(void)state;
	assert_int_equal(sp_say(SP_ERR_ABSENT, text, sizeof text, "%d and more", 12345), SP_ERR_ABSENT);
	assert_string_equal(text, "12345 a");
	assert_string_equal(written(), "");
}

static void held_errors_wait_for_release_and_warnings_do_not(void **state)
{
	(void)state;
	sp_log_hold();
	sp_log(SP_LOG_ERROR, "first");
	sp_log(SP_LOG_WARNING, "meanwhile");
	sp_log(SP_LOG_ERROR, "second");
	assert_string_equal(written(), "seqpar: warning: meanwhile\n");
	assert_string_equal(written(), "");
	sp_log_release();
	assert_string_equal(written(), "seqpar: error: first\nseqpar: error: second\n");
	sp_log_release();
	assert_string_equal(written(), "");
	sp_log(SP_LOG_ERROR, "third");
	assert_string_equal(written(), "seqpar: error: third\n");
}

static void held_errors_beyond_what_fits_are_not_lost(void **state)
{
	char longer[1500];
	int lines = 0;
	(void)state;
	memset(longer, 'z', sizeof longer);
	longer[sizeof longer - 1] = 0;
	sp_log_hold();
	for (int i = 0; i < 12; i++)
		sp_log(SP_LOG_ERROR, "%d %s", i, longer);
	sp_log_release();
	for (const char *text = written(); *text; text = written())
		for (; *text; text++)
			lines += *text == '\n';
	assert_int_equal(lines, 12);
}

static void *fail_elsewhere(void *unused)
{
	(void)unused;
	sp_log(SP_LOG_ERROR, "of another thread");
	return NULL;
}

static void a_thread_that_is_mute_says_nothing_and_others_do(void **state)
{
	pthread_t other;
	(void)state;
	sp_log_mute(1);
	assert_int_equal(sp_fail(SP_ERR_IO, "not heard"), SP_ERR_IO);
	sp_log_hold();
	sp_log(SP_LOG_ERROR, "not kept");
	sp_log_release();
	sp_log(SP_LOG_WARNING, "not heard");
	assert_int_equal(pthread_create(&other, NULL, fail_elsewhere, NULL), 0);
	assert_int_equal(pthread_join(other, NULL), 0);
	sp_log_mute(0);
	assert_string_equal(written(), "seqpar: error: of another thread\n");
	sp_log(SP_LOG_WARNING, "heard");
	assert_string_equal(written(), "seqpar: warning: heard\n");
	assert_string_equal(written(), "");
}

/* SEQPAR_LOG is looked at once, so each case is a process of its own. */
static void expect_environment(const char *value, const char *want)
{
	const pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		setenv("SEQPAR_LOG", value, 1);
		sp_log_level(SP_LOG_WARNING);
		sp_log(SP_LOG_INFO, "info");
		sp_log(SP_LOG_WARNING, "warning");
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	char all[256] = "";
	for (const char *text = written(); *text; text = written())
		strncat(all, text, sizeof all - strlen(all) - 1);
	assert_string_equal(all, want);
}

static void the_environment_overrides_the_level(void **state)
{
	(void)state;
	expect_environment("info", "seqpar: info: info\nseqpar: warning: warning\n");
	expect_environment("error", "");
	expect_environment("nonsense", "seqpar: warning: warning\n");
}

int main(void)
{
	unsetenv("SEQPAR_LOG");
	const struct CMUnitTest tests[] = {
		/* First: nothing has been logged by this process yet. */
		cmocka_unit_test_setup_teardown(the_environment_overrides_the_level, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(each_message_is_one_write_of_one_line, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(line_ends_and_commands_inside_a_message_become_spaces, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(levels_above_the_chosen_one_are_dropped, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(the_prefix_stands_before_each_message, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(a_message_that_is_too_long_is_cut_and_still_a_line, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(fail_logs_an_error_and_passes_the_status_on, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(say_writes_to_the_text_only, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(held_errors_wait_for_release_and_warnings_do_not, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(held_errors_beyond_what_fits_are_not_lost, catch_stderr, give_stderr_back),
		cmocka_unit_test_setup_teardown(a_thread_that_is_mute_says_nothing_and_others_do, catch_stderr, give_stderr_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
