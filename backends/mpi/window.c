/* Memory that ranks of one machine read in place: pages of a file without a name (memfd_create), mapped over the pages
 * that the caller has, and once more by every other rank, which finds it through /proc.
 *
 * Why not MPI_Win_allocate_shared: it hands out memory of its own, which would come on top of what was planned, and its file
 * lies in /dev/shm, of which a container has 64 MiB unless told otherwise, and where a killed job leaves it behind. Pages of
 * a nameless file are bounded by the machine's memory alone and go with the last process that maps them; they are taken at
 * the start, so that want of memory is an answer here and not a signal in the middle of a step. */
#include "config.h"

#include "mpi/window.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Each counter on a cache line of its own: its writer and its readers share nothing else. */
struct counter {
	_Alignas(64) _Atomic uint64_t value;
};

/* The first page of a file; the memory follows. */
struct head {
	struct counter counter[SP_WINDOW_COUNTERS];
};
_Static_assert(sizeof(struct head) <= SP_WINDOW_PAGE, "counters fill more than a page");

struct sp_mpi_window {
	int rank, ranks;
	void *memory; /* the caller's; in it lies what the others read */
	size_t bytes;
	int laid; /* over the caller's pages */
	struct head *own;
	char **seen; /* [ranks]: whole files; NULL: not mapped */
};

/* How the others find a rank's file: /proc/`pid`/fd/`file` is a link to `name`, which no other file has. */
struct card {
	int32_t pid, file;
	char name[56];
};

/* SEQPAR_MPI_NODES=N has ranks think that they are on N machines, in turn: for tests. */
static int machine(void)
{
	const char *text = getenv("SEQPAR_MPI_NODES");
	int rank, nodes = text ? atoi(text) : 1;
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	return nodes > 1 ? rank % nodes : 0;
}

/* ---- this rank's file ---- */

static struct card own_card(void)
{
	static unsigned number;
	struct timespec now;
	struct card card = { .pid = (int32_t)getpid(), .file = -1 };
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(card.name, sizeof card.name, "seqpar-%d-%ld-%llx%09lx-%x", machine(), (long)getpid(),
	         (unsigned long long)now.tv_sec, (unsigned long)now.tv_nsec, number++);
	return card;
}

static int wanted(void)
{
	const char *text = getenv("SEQPAR_MPI_WINDOWS");
	return !(text && strcmp(text, "no") == 0) && SP_WINDOW_PAGE % sysconf(_SC_PAGESIZE) == 0;
}

static void refuse(const char *what, size_t bytes, int error)
{
	sp_log(SP_LOG_WARNING, "messages between ranks of this machine are copied: %s of %zu bytes: %s", what, bytes,
	       strerror(error));
}

/* Its number; -1 (said in a warning) if there is no such file to be had. */
static int create_file(const char *name, size_t bytes)
{
	const int file = memfd_create(name, MFD_CLOEXEC);
	if (file < 0) {
		refuse("a file in memory", bytes, errno);
		return -1;
	}
	const int error = posix_fallocate(file, 0, (off_t)bytes);
	if (error) {
		refuse("a file in memory", bytes, error);
		close(file);
		return -1;
	}
	return file;
}

/* Large pages are a wish that the machine's settings decide on (shmem_enabled); without them things are only slower. */
static void *mapped(void *p, size_t bytes)
{
	if (p == MAP_FAILED)
		return NULL;
#ifdef MADV_HUGEPAGE
	(void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
	return p;
}

static void *map(void *at, size_t bytes, int file, off_t from, int flags)
{
	return mapped(mmap(at, bytes, PROT_READ | PROT_WRITE, flags, file, from), bytes);
}

/* The caller's pages become those of the file. */
static int lay_own(struct sp_mpi_window *w, int file)
{
	if (file < 0)
		return 0;
	w->own = map(NULL, SP_WINDOW_PAGE, file, 0, MAP_SHARED);
	w->laid = w->own && map(w->memory, w->bytes, file, SP_WINDOW_PAGE, MAP_SHARED | MAP_FIXED);
	return w->laid;
}

/* ---- the others' ---- */

/* Another machine, another container, another process of the same number: the link's text tells. */
static int is_it(const char *path, const struct card *card)
{
	char link[128], want[128];
	const ssize_t n = readlink(path, link, sizeof link - 1);
	if (n < 0)
		return 0;
	link[n] = '\0';
	snprintf(want, sizeof want, "/memfd:%s (deleted)", card->name);
	return strcmp(link, want) == 0;
}

static char *see(const struct card *card, size_t bytes)
{
	char path[64], here[32];
	snprintf(path, sizeof path, "/proc/%ld/fd/%ld", (long)card->pid, (long)card->file);
	snprintf(here, sizeof here, "seqpar-%d-", machine());
	if (card->file < 0 || strncmp(card->name, here, strlen(here)) != 0 || !is_it(path, card))
		return NULL;
	const int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return NULL;
	void *p = mapped(mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0), bytes);
	close(file);
	return p;
}

static int see_all(struct sp_mpi_window *w, const struct card *card)
{
	int all = 1;
	for (int r = 0; r < w->ranks && all; r++) {
		if (r == w->rank)
			continue;
		w->seen[r] = see(&card[r], w->bytes + SP_WINDOW_PAGE);
		all = w->seen[r] != NULL;
	}
	return all;
}

/* ---- opening ---- */

static struct sp_mpi_window *create(MPI_Comm comm, void *memory, size_t bytes)
{
	struct sp_mpi_window *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	MPI_Comm_rank(comm, &w->rank);
	MPI_Comm_size(comm, &w->ranks);
	w->memory = memory;
	w->bytes = bytes;
	w->seen = calloc((size_t)w->ranks, sizeof *w->seen);
	if (w->seen)
		return w;
	free(w);
	return NULL;
}

static int failed(const char *call)
{
	return sp_fail(SP_ERR_COMM, "%s failed while memory was to be shared", call);
}

/* *all: whether every rank sees every other's. Nobody closes its file before all have opened it. */
static int meet(MPI_Comm comm, struct sp_mpi_window *w, struct card *card, int *all)
{
	card[w->rank] = own_card();
	const int file = wanted() ? create_file(card[w->rank].name, w->bytes + SP_WINDOW_PAGE) : -1;
	int good = lay_own(w, file), status = SP_OK;
	card[w->rank].file = file;
	if (MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, card, sizeof *card, MPI_BYTE, comm))
		status = failed("MPI_Allgather");
	good = good && !status && see_all(w, card);
	if (!status && MPI_Allreduce(&good, all, 1, MPI_INT, MPI_MIN, comm))
		status = failed("MPI_Allreduce");
	if (file >= 0)
		close(file);
	return status;
}

int sp_mpi_window_open(MPI_Comm comm, void *memory, size_t bytes, struct sp_mpi_window **window)
{
	struct sp_mpi_window *w = create(comm, memory, bytes);
	struct card *card = w ? calloc((size_t)w->ranks, sizeof *card) : NULL;
	int all = 0;
	*window = NULL;
	const int status = card ? meet(comm, w, card, &all) : sp_fail(SP_ERR_COMM, "out of memory for a window");
	free(card);
	if (!status && all)
		*window = w;
	else
		sp_mpi_window_close(w);
	return status;
}

int sp_mpi_window_possible(MPI_Comm comm)
{
	struct sp_mpi_window *w;
	void *page = aligned_alloc(SP_WINDOW_PAGE, SP_WINDOW_PAGE);
	if (!page)
		return sp_fail(SP_ERR_COMM, "out of memory for a window");
	const int status = sp_mpi_window_open(comm, page, SP_WINDOW_PAGE, &w);
	const int possible = w != NULL;
	sp_mpi_window_close(w);
	free(page);
	return status ? status : possible;
}

/* The caller's pages become memory of this process again. */
static void take_up(const struct sp_mpi_window *w)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	if (mmap(w->memory, w->bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
		sp_log(SP_LOG_WARNING, "%zu bytes stay in a file in memory: %s", w->bytes, strerror(errno));
}

void sp_mpi_window_close(struct sp_mpi_window *w)
{
	if (!w)
		return;
	for (int r = 0; r < w->ranks; r++)
		if (w->seen[r])
			munmap(w->seen[r], w->bytes + SP_WINDOW_PAGE);
	if (w->laid)
		take_up(w);
	if (w->own)
		munmap(w->own, SP_WINDOW_PAGE);
	free(w->seen);
	free(w);
}

/* ---- using ---- */

const void *sp_mpi_window_of(const struct sp_mpi_window *w, int rank)
{
	return rank == w->rank ? w->memory : w->seen[rank] + SP_WINDOW_PAGE;
}

/* Pages that several processes have mapped count as resident in each. The next look at them costs a fault for every
 * sixteen: a tenth of what a copy would. */
void sp_mpi_window_leave(struct sp_mpi_window *w, int rank)
{
	if (rank != w->rank)
		(void)madvise(w->seen[rank] + SP_WINDOW_PAGE, w->bytes, MADV_DONTNEED);
}

void sp_mpi_window_post(struct sp_mpi_window *w, int i, uint64_t value)
{
	atomic_store_explicit(&w->own->counter[i].value, value, memory_order_release);
}

uint64_t sp_mpi_window_seen(const struct sp_mpi_window *w, int rank, int i)
{
	struct head *head = rank == w->rank ? w->own : (struct head *)w->seen[rank];
	return atomic_load_explicit(&head->counter[i].value, memory_order_acquire);
}
