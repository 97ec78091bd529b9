/* How messages travel here: whether memory is read in place, and whether MPI moves a message while nobody calls it. The
 * standard lets a library do either, and what it does depends on how it was built and on the network, so it is tried. */
#include "config.h"

#include "mpi/describe.h"

#include "base/clock.h"
#include "base/log.h"
#include "mpi/window.h"

#include <stdio.h>
#include <stdlib.h>

enum { BYTES = 4 << 20, TRIES = 5 };

/* Seconds without a call that a library is given to move BYTES by itself: many times what it needs. */
static const double leisure = 10e-3;

struct pair {
	MPI_Comm comm;
	int other; /* MPI_PROC_NULL: nobody */
	char *out, *in;
};

/* The last byte of a message, which this process may be given by another while it looks. */
static int last_byte(const struct pair *p)
{
	return ((const volatile char *)p->in)[BYTES - 1];
}

/* Adds one to *moved if the message arrives between two calls of MPI. Who is late finds it there already: that tells nothing,
 * and who is too late for the other tells nothing to that one, so there are several tries. */
static int try_once(const struct pair *p, int number, int *moved)
{
	MPI_Request request[2];
	p->out[BYTES - 1] = (char)number;
	int bad = MPI_Barrier(p->comm) || MPI_Irecv(p->in, BYTES, MPI_BYTE, p->other, 1, p->comm, &request[0]) ||
	          MPI_Isend(p->out, BYTES, MPI_BYTE, p->other, 1, p->comm, &request[1]);
	const int early = last_byte(p) == number;
	const double begin = sp_clock();
	while (!bad && sp_clock() - begin < leisure)
		;
	*moved += !early && last_byte(p) == number;
	return bad || MPI_Waitall(2, request, MPI_STATUSES_IGNORE);
}

static int try_all(const struct pair *p, int *moved)
{
	int bad = 0;
	for (int i = 1; i <= TRIES && !bad; i++)
		bad = try_once(p, i, moved);
	bad = bad || MPI_Allreduce(MPI_IN_PLACE, moved, 1, MPI_INT, MPI_SUM, p->comm);
	return bad ? sp_fail(SP_ERR_COMM, "messages could not be measured") : SP_OK;
}

/* *moved: of the messages between neighbours, how many MPI has moved by itself. */
static int measure(MPI_Comm comm, int *moved)
{
	struct pair p = { .comm = comm, .out = calloc(BYTES, 1), .in = calloc(BYTES, 1) };
	int rank, size;
	*moved = 0;
	MPI_Comm_rank(comm, &rank);
	MPI_Comm_size(comm, &size);
	p.other = (rank ^ 1) < size ? rank ^ 1 : MPI_PROC_NULL;
	const int status = p.out && p.in ? try_all(&p, moved) : sp_fail(SP_ERR_COMM, "out of memory for a message");
	free(p.out);
	free(p.in);
	return status;
}

int sp_mpi_describe(MPI_Comm comm, char *text, size_t size)
{
	int ranks, moved;
	text[0] = '\0';
	MPI_Comm_size(comm, &ranks);
	if (ranks == 1)
		return SP_OK;
	const int windows = sp_mpi_window_possible(comm);
	int status = windows < 0 ? windows : measure(comm, &moved);
	if (status)
		return status;
	snprintf(text, size, "%s; MPI moves messages %s",
	         windows ? "keys and values of rings are read in place, from memory that the ranks share" :
	                   "keys and values of rings are sent by messages",
	         moved > 0 ? "in the background" : "only when it is called");
	return SP_OK;
}
