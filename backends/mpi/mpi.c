/* Ranks joined by MPI 3. May include: base, backend, mpi.h.
 *
 * MPI counts in int, so everything longer is cut into pieces that both sides cut alike. Requests come from a pool: after
 * the first steps nothing is allocated. */
#include "config.h"

#include <seqpar/module.h>

#include "base/log.h"
#include "mpi/describe.h"
#include "mpi/half.h"
#include "mpi/window.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the largest single message. SEQPAR_MPI_PIECE lowers it, so that tests can see pieces without gigabytes. */
static size_t piece = (size_t)1 << 30;

struct communicator {
	MPI_Comm comm;
	int rank, size;
	int first; /* from open(): closing it ends MPI */
};

/* Of a reduce_scatter: this rank's share, which becomes the sum of its own contribution and those that arrive. */
struct sum {
	char *own; /* NULL: nothing is to be added up */
	size_t bytes;
	enum sp_dtype dtype;
	int rank, ranks;
};

/* A transfer under way: some MPI requests, and what is to be done when all are finished. */
struct request {
	struct request *next, **home; /* where it is put back */
	int count, room;
	MPI_Request *part;
	struct sum sum;
	char *arrived; /* the other ranks' contributions in the order of ranks */
	size_t arrived_room;
};

static struct request *active, *spare, *spare_sums; /* those of sums are kept apart for the room that they have */

static MPI_Datatype datatype(enum sp_dtype dtype)
{
	const MPI_Datatype types[SP_DTYPES] = {
		[SP_F32] = MPI_FLOAT,
		[SP_F64] = MPI_DOUBLE,
		[SP_I32] = MPI_INT32_T,
		[SP_I64] = MPI_INT64_T,
		[SP_BF16] = SP_MPI_HALF,
		[SP_F16] = SP_MPI_HALF,
	};
	return types[dtype];
}

static MPI_Op operation(enum sp_dtype dtype, enum sp_reduction reduction)
{
	const MPI_Op ops[] = { [SP_SUM] = MPI_SUM, [SP_MAX] = MPI_MAX, [SP_MIN] = MPI_MIN };
	return dtype == SP_BF16 || dtype == SP_F16 ? sp_mpi_half_op(dtype, reduction) : ops[reduction];
}

static int failed(const char *call, int code)
{
	char text[MPI_MAX_ERROR_STRING] = "";
	int length;
	MPI_Error_string(code, text, &length);
	return sp_fail(SP_ERR_COMM, "%s: %s", call, text);
}

/* SP_OK, or the library's own words in the log. */
static int check(const char *call, int code)
{
	return code == MPI_SUCCESS ? SP_OK : failed(call, code);
}

/* Of what is left, those that go in one message. */
static int bytes_of(size_t left)
{
	return (int)(left < piece ? left : piece);
}

/* ---- communicators ---- */

static int probe(char *text, size_t size)
{
	char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
	int length;
	MPI_Get_library_version(version, &length); /* allowed before MPI_Init */
	version[strcspn(version, ",\n")] = '\0';
	snprintf(text, size, "%s", version);
	return SP_OK;
}

static int wrap(MPI_Comm comm, int first, void **result)
{
	struct communicator *c = malloc(sizeof *c);
	if (!c)
		return sp_fail(SP_ERR_COMM, "out of memory for a communicator");
	*c = (struct communicator){ .comm = comm, .first = first };
	MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
	MPI_Comm_rank(comm, &c->rank);
	MPI_Comm_size(comm, &c->size);
	*result = c;
	return SP_OK;
}

static void read_piece(void)
{
	const char *text = getenv("SEQPAR_MPI_PIECE");
	long long bytes = text ? atoll(text) : 0;
	if (bytes >= 8 && (size_t)bytes < piece)
		piece = (size_t)bytes & ~(size_t)7;
}

static int open_mpi(void **comm)
{
	int initialised = 0, level;
	read_piece();
	/* Else MPI_Abort has Open MPI explain itself below our own message. Set to 0, it shows its explanations. */
	setenv("OMPI_MCA_orte_execute_quiet", "1", 0);
	MPI_Initialized(&initialised);
	if (!initialised && check("MPI_Init_thread", MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level)))
		return SP_ERR_COMM;
	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	MPI_Comm all;
	if (check("MPI_Op_create", sp_mpi_half_open()) || check("MPI_Comm_dup", MPI_Comm_dup(MPI_COMM_WORLD, &all)))
		return SP_ERR_COMM;
	return wrap(all, 1, comm);
}

static int split(void *comm, int colour, int key, void **part)
{
	struct communicator *c = comm;
	MPI_Comm group;
	int status = check("MPI_Comm_split", MPI_Comm_split(c->comm, colour, key, &group));
	return status ? status : wrap(group, 0, part);
}

static void free_spare(struct request **spares)
{
	while (*spares) {
		struct request *r = *spares;
		*spares = r->next;
		free(r->arrived);
		free(r->part);
		free(r);
	}
}

static void close_mpi(void *comm)
{
	struct communicator *c = comm;
	if (!c)
		return;
	MPI_Comm_free(&c->comm);
	if (c->first) {
		free_spare(&spare);
		free_spare(&spare_sums);
		sp_mpi_half_close();
		MPI_Finalize();
	}
	free(c);
}

static void abort_mpi(void *comm, int code)
{
	struct communicator *c = comm;
	MPI_Abort(c->comm, code);
	_Exit(code);
}

static int place(void *comm, struct sp_place *place)
{
	struct communicator *c = comm;
	MPI_Comm machine;
	int status = check("MPI_Comm_split_type",
	                   MPI_Comm_split_type(c->comm, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &machine));
	if (status)
		return status;
	*place = (struct sp_place){ .rank = c->rank, .size = c->size };
	MPI_Comm_rank(machine, &place->local_rank);
	MPI_Comm_size(machine, &place->local_size);
	MPI_Comm_free(&machine);
	return SP_OK;
}

/* ---- requests ---- */

static struct request *request_take(struct request **home)
{
	struct request *r = *home;
	if (r)
		*home = r->next;
	else
		r = calloc(1, sizeof *r);
	if (!r) {
		sp_fail(SP_ERR_COMM, "out of memory for a transfer");
		return NULL;
	}
	r->home = home;
	r->count = 0;
	r->sum.own = NULL;
	r->next = active;
	active = r;
	return r;
}

static void request_give(struct request *r)
{
	struct request **at = &active;
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	r->next = *r->home;
	*r->home = r;
}

/* Room for one more MPI request; NULL (logged) without memory. */
static MPI_Request *request_part(struct request *r)
{
	if (r->count == r->room) {
		int room = r->room ? 2 * r->room : 4;
		MPI_Request *grown = realloc(r->part, (size_t)room * sizeof *grown);
		if (!grown) {
			sp_fail(SP_ERR_COMM, "out of memory for a transfer");
			return NULL;
		}
		r->part = grown;
		r->room = room;
	}
	r->part[r->count] = MPI_REQUEST_NULL;
	return &r->part[r->count++];
}

/* ---- sums ---- */

static int sum_room(struct request *r, size_t bytes)
{
	if (bytes <= r->arrived_room)
		return SP_OK;
	free(r->arrived);
	r->arrived = malloc(bytes);
	r->arrived_room = r->arrived ? bytes : 0;
	return r->arrived ? SP_OK : sp_fail(SP_ERR_COMM, "out of memory for %zu bytes of a sum", bytes);
}

static char *contribution(const struct request *r, int rank)
{
	return rank == r->sum.rank ? r->sum.own : r->arrived + (size_t)(rank - (rank > r->sum.rank)) * r->sum.bytes;
}

/* ((x0 + x1) + x2) + ...: the order of ranks, whatever is cut into how many pieces. From the own contribution on, the sum
 * is formed in its place. */
static int add_up(const struct request *r)
{
	const struct sum *s = &r->sum;
	char *sum = contribution(r, 0);
	int status = SP_OK;
	for (int rank = 1; rank < s->ranks; rank++) {
		char *next = contribution(r, rank), *to = rank == s->rank ? next : sum;
		const char *from = rank == s->rank ? sum : next;
		for (size_t at = 0; at < s->bytes && !status; at += (size_t)bytes_of(s->bytes - at))
			status = check("MPI_Reduce_local",
			               MPI_Reduce_local(from + at, to + at, (int)((size_t)bytes_of(s->bytes - at) / sp_dtype_size(s->dtype)),
			                                datatype(s->dtype), operation(s->dtype, SP_SUM)));
		sum = to;
	}
	return status;
}

/* Ends a request whose parts are finished. */
static int conclude(struct request *r)
{
	int status = r->sum.own ? add_up(r) : SP_OK;
	request_give(r);
	return status;
}

static int wait_mpi(void *comm, void *request)
{
	(void)comm;
	struct request *r = request;
	int status = SP_OK;
	if (!r)
		return SP_OK;
	for (int i = 0; i < r->count && status == SP_OK; i++)
		status = check("MPI_Wait", MPI_Wait(&r->part[i], MPI_STATUS_IGNORE));
	if (!status)
		return conclude(r);
	request_give(r);
	return status;
}

static int test_mpi(void *comm, void *request, int *done)
{
	(void)comm;
	struct request *r = request;
	int status = SP_OK;
	*done = 1;
	for (int i = 0; r && i < r->count && *done && status == SP_OK; i++)
		status = check("MPI_Test", MPI_Test(&r->part[i], done, MPI_STATUS_IGNORE));
	if (status)
		request_give(r);
	return status || !r || !*done ? status : conclude(r);
}

/* A test that finds something unfinished lets the library move everything on; what is finished is not asked again. */
static int progress(void *comm)
{
	(void)comm;
	for (struct request *r = active; r; r = r->next)
		for (int i = 0, done; i < r->count; i++) {
			if (r->part[i] == MPI_REQUEST_NULL)
				continue;
			if (check("MPI_Test", MPI_Test(&r->part[i], &done, MPI_STATUS_IGNORE)))
				return SP_ERR_COMM;
			if (!done)
				return SP_OK;
		}
	return SP_OK;
}

/* ---- transfers ---- */

static int send_pieces(struct communicator *c, struct request *r, const char *data, size_t bytes, int to)
{
	for (size_t at = 0; at < bytes; at += (size_t)bytes_of(bytes - at)) {
		MPI_Request *part = request_part(r);
		if (!part || check("MPI_Isend", MPI_Isend(data + at, bytes_of(bytes - at), MPI_BYTE, to, 0, c->comm, part)))
			return SP_ERR_COMM;
	}
	return SP_OK;
}

static int receive_pieces(struct communicator *c, struct request *r, char *data, size_t bytes, int from)
{
	for (size_t at = 0; at < bytes; at += (size_t)bytes_of(bytes - at)) {
		MPI_Request *part = request_part(r);
		if (!part || check("MPI_Irecv", MPI_Irecv(data + at, bytes_of(bytes - at), MPI_BYTE, from, 0, c->comm, part)))
			return SP_ERR_COMM;
	}
	return SP_OK;
}

static int exchange_start(void *comm, const struct sp_exchange *args, void **request)
{
	struct communicator *c = comm;
	*request = NULL;
	if (args->to == c->rank && args->from == c->rank) {
		if (args->send_bytes)
			memmove(args->receive, args->send, args->send_bytes);
		return SP_OK;
	}
	struct request *r = request_take(&spare);
	if (!r)
		return SP_ERR_COMM;
	/* Receives first: what arrives then finds its place at once. */
	if (receive_pieces(c, r, args->receive, args->receive_bytes, args->from) ||
	    send_pieces(c, r, args->send, args->send_bytes, args->to))
		return SP_ERR_COMM;
	*request = r;
	return SP_OK;
}

static int64_t elements_per_piece(enum sp_dtype dtype)
{
	return (int64_t)(piece / sp_dtype_size(dtype));
}

static int elements_of(int64_t left, enum sp_dtype dtype)
{
	int64_t most = elements_per_piece(dtype);
	return (int)(left < most ? left : most);
}

/* Every rank gets the others' contributions to its share and adds them up itself, once all are here. MPI_Ireduce_scatter_block
 * in place would leave the result at the front, and Open MPI 4 makes it a reduction of everything to one rank; its
 * MPI_Ireduce of each share goes in steps of 64 KiB, of which every one wants to be moved on: where that happens every few
 * milliseconds, the sums take seconds, and without pause still ten times as long as this. */
static int reduce_scatter_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request)
{
	struct communicator *c = comm;
	const size_t share = (size_t)count * sp_dtype_size(dtype);
	struct request *r = request_take(&spare_sums);
	*request = NULL;
	if (!r || sum_room(r, share * (size_t)(c->size - 1)))
		return SP_ERR_COMM;
	r->sum = (struct sum){ (char *)data + share * (size_t)c->rank, share, dtype, c->rank, c->size };
	for (int hop = 1; hop < c->size; hop++) {
		const int from = (c->rank + c->size - hop) % c->size, to = (c->rank + hop) % c->size;
		if (receive_pieces(c, r, contribution(r, from), share, from) ||
		    send_pieces(c, r, (char *)data + share * (size_t)to, share, to))
			return SP_ERR_COMM;
	}
	*request = r;
	return SP_OK;
}

/* The same piece of every share: `n` elements, `count` elements from one share's to the next share's. */
static int gather_piece(struct communicator *c, char *data, int64_t count, int n, enum sp_dtype dtype, MPI_Request *part)
{
	MPI_Datatype contiguous, spread;
	MPI_Aint extent = (MPI_Aint)((size_t)count * sp_dtype_size(dtype));
	if (check("MPI_Type_contiguous", MPI_Type_contiguous(n, datatype(dtype), &contiguous)))
		return SP_ERR_COMM;
	int status = check("MPI_Type_create_resized", MPI_Type_create_resized(contiguous, 0, extent, &spread));
	MPI_Type_free(&contiguous);
	if (status)
		return status;
	status = check("MPI_Type_commit", MPI_Type_commit(&spread));
	if (status == SP_OK)
		status = check("MPI_Iallgather",
		               MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data, 1, spread, c->comm, part));
	MPI_Type_free(&spread); /* in truth when the transfer is finished */
	return status;
}

static int all_gather_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request)
{
	struct communicator *c = comm;
	struct request *r = request_take(&spare);
	*request = NULL;
	if (!r)
		return SP_ERR_COMM;
	for (int64_t at = 0; at < count; at += elements_of(count - at, dtype)) {
		MPI_Request *part = request_part(r);
		char *here = (char *)data + (size_t)at * sp_dtype_size(dtype);
		if (!part || gather_piece(c, here, count, elements_of(count - at, dtype), dtype, part))
			return SP_ERR_COMM;
	}
	*request = r;
	return SP_OK;
}

/* The sum of the first n. */
static size_t before(const size_t *bytes, int n)
{
	size_t sum = 0;
	for (int i = 0; i < n; i++)
		sum += bytes[i];
	return sum;
}

/* Receives first; then each rank begins with another receiver. */
static int all_to_all_start(void *comm, const struct sp_all_to_all *args, void **request)
{
	struct communicator *c = comm;
	const char *send = args->send;
	char *receive = args->receive;
	struct request *r = request_take(&spare);
	*request = NULL;
	if (!r)
		return SP_ERR_COMM;
	for (int hop = 1; hop < c->size; hop++) {
		const int from = (c->rank + c->size - hop) % c->size;
		if (receive_pieces(c, r, receive + before(args->receive_bytes, from), args->receive_bytes[from], from))
			return SP_ERR_COMM;
	}
	for (int hop = 1; hop < c->size; hop++) {
		const int to = (c->rank + hop) % c->size;
		if (send_pieces(c, r, send + before(args->send_bytes, to), args->send_bytes[to], to))
			return SP_ERR_COMM;
	}
	if (args->send_bytes[c->rank])
		memmove(receive + before(args->receive_bytes, c->rank), send + before(args->send_bytes, c->rank),
		        args->send_bytes[c->rank]);
	*request = r;
	return SP_OK;
}

/* ---- blocking operations ---- */

static int all_reduce(void *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op)
{
	struct communicator *c = comm;
	int status = SP_OK;
	for (int64_t at = 0; at < count && status == SP_OK; at += elements_of(count - at, dtype))
		status = check("MPI_Allreduce",
		               MPI_Allreduce(MPI_IN_PLACE, (char *)data + (size_t)at * sp_dtype_size(dtype),
		                             elements_of(count - at, dtype), datatype(dtype), operation(dtype, op), c->comm));
	return status;
}

static int broadcast(void *comm, void *data, size_t bytes, int root)
{
	struct communicator *c = comm;
	int status = SP_OK;
	for (size_t at = 0; at < bytes && status == SP_OK; at += (size_t)bytes_of(bytes - at))
		status = check("MPI_Bcast", MPI_Bcast((char *)data + at, bytes_of(bytes - at), MPI_BYTE, root, c->comm));
	return status;
}

static int barrier(void *comm)
{
	struct communicator *c = comm;
	return check("MPI_Barrier", MPI_Barrier(c->comm));
}

/* ---- windows ---- */

static int describe(void *comm, char *text, size_t size)
{
	return sp_mpi_describe(((struct communicator *)comm)->comm, text, size);
}

static int window_open(void *comm, void *memory, size_t bytes, void **window)
{
	struct sp_mpi_window *w = NULL;
	const int status = sp_mpi_window_open(((struct communicator *)comm)->comm, memory, bytes, &w);
	*window = w;
	return status;
}

static void window_close(void *window)
{
	sp_mpi_window_close(window);
}

static const void *window_of(void *window, int rank)
{
	return sp_mpi_window_of(window, rank);
}

static void window_leave(void *window, int rank)
{
	sp_mpi_window_leave(window, rank);
}

static void window_post(void *window, int i, uint64_t value)
{
	sp_mpi_window_post(window, i, value);
}

static uint64_t window_seen(void *window, int rank, int i)
{
	return sp_mpi_window_seen(window, rank, i);
}

static const struct sp_comm_ops ops = {
	.open = open_mpi,
	.split = split,
	.close = close_mpi,
	.abort = abort_mpi,
	.place = place,
	.exchange_start = exchange_start,
	.reduce_scatter_start = reduce_scatter_start,
	.all_gather_start = all_gather_start,
	.all_to_all_start = all_to_all_start,
	.wait = wait_mpi,
	.test = test_mpi,
	.progress = progress,
	.all_reduce = all_reduce,
	.broadcast = broadcast,
	.barrier = barrier,
	.describe = describe,
	.window_open = window_open,
	.window_close = window_close,
	.window_of = window_of,
	.window_leave = window_leave,
	.window_post = window_post,
	.window_seen = window_seen,
};

extern const struct sp_module sp_module_mpi;
const struct sp_module sp_module_mpi = {
	.abi = SP_MODULE_ABI,
	.name = "mpi",
	.probe = probe,
	.comm = &ops,
};
