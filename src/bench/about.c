/* What every benchmark says first, and what they share. */
#include "config.h"

#include "bench/bench.h"

#include "commit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void put_command(struct sp_bench_output *o, int argc, char **argv)
{
	char text[1536] = "seqpar";
	for (int i = 0; i < argc; i++) {
		const size_t used = strlen(text);
		snprintf(text + used, sizeof text - used, " %s", argv[i]);
	}
	sp_bench_about(o, "command line", "%s", text);
}

void sp_bench_about_run(struct sp_bench *b, int argc, char **argv)
{
	char text[512] = "", warning[512] = "", host[128] = "", date[32] = "";
	const time_t now = time(NULL);
	struct tm utc;
	gethostname(host, sizeof host - 1);
	if (gmtime_r(&now, &utc))
		strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
	sp_bench_about(b->output, "version", "%s, commit %s", PACKAGE_VERSION, SP_COMMIT);
	put_command(b->output, argc, argv);
	sp_bench_about(b->output, "host", "%s, %s", host, date);
	if (b->world)
		sp_bench_about(b->output, "ranks", "%d, messages by %s", sp_comm_size(b->world), sp_comm_name(b->world));
	if (b->compute) {
		sp_compute_describe(b->compute, text, sizeof text, warning, sizeof warning);
		sp_bench_about(b->output, "device", "%s, %d threads a rank", text, sp_compute_threads(b->compute));
	}
	if (warning[0])
		sp_bench_about(b->output, "warning", "%s", warning);
	sp_bench_about(b->output, "runs", "%lld of warm-up, %lld timed; medians", (long long)b->warm_up, (long long)b->repeats);
}

int sp_bench_wants(const struct sp_bench *bench, const char *name)
{
	return !bench->only || strstr(name, bench->only) != NULL;
}

struct sp_bench_timing sp_bench_timing(const struct sp_bench *b)
{
	return (struct sp_bench_timing){ b->compute, b->world, b->warm_up, b->repeats, 0 };
}
