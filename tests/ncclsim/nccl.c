/* The functions of NCCL that seqpar calls, between processes, by MPI. Like NCCL told not to block, a call may still go on when it
 * returns, and then nothing may be called on its communicator; the first message to a peer does until that peer has called, too.
 * Transfers are worked off in the order of a stream. A transfer that breaks these rules is an error, or never ends, as there. */
#include "config.h"

#include "ncclsim/simulator.h"

#include <mpi.h>
#include <nccl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The header declares them without a prototype. */
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);

enum { LOOKS = 8 }; /* how often a call is found to go on */
enum { MOST = 256 }; /* messages of a call */
enum { DATA = 1, GREETING = 2 };

struct ncclComm {
	MPI_Comm mpi;
	int rank, size;
	int looks;           /* until the call that goes on is finished */
	int endless;         /* it never is */
	ncclResult_t error;  /* met on the way */
	char *known;         /* [size] peers that have been greeted */
	MPI_Request greeting[2 * MOST];
	int greetings;
	struct work *group;  /* of the call being put together */
	int calls, left;     /* so far; not yet worked off */
	int ending;
};

struct message {
	int peer, out;
	char *device, *host;
	size_t bytes;
};

/* A call's messages, and what becomes of them: the contributions of all ranks reduced, or nothing more. */
struct work {
	struct ncclComm *comm; /* NULL: given up */
	void *stream;
	int count, begun;
	struct message message[MOST];
	MPI_Request request[MOST];
	char *own, *to; /* a reduction: this rank's contribution, and where the result goes */
	size_t elements;
	ncclDataType_t type;
	ncclRedOp_t op;
	struct work *next_of_group;
};

static int depth;
static struct work *groups;
static char said[128];

/* ---- numbers ---- */

static size_t size_of(ncclDataType_t type)
{
	switch (type) {
	case ncclInt8: return 1;
	case ncclFloat16:
	case ncclBfloat16: return 2;
	case ncclInt32:
	case ncclFloat32: return 4;
	case ncclInt64:
	case ncclFloat64: return 8;
	default: abort();
	}
}

static double get(const char *at, ncclDataType_t type, size_t i)
{
	_Float16 half;
	uint32_t bits;
	float single;
	switch (type) {
	case ncclFloat16: memcpy(&half, at + 2 * i, 2); return (double)half;
	case ncclBfloat16: bits = (uint32_t)((const uint16_t *)at)[i] << 16; memcpy(&single, &bits, 4); return single;
	case ncclInt32: return ((const int32_t *)at)[i];
	case ncclFloat32: return ((const float *)at)[i];
	case ncclInt64: return (double)((const int64_t *)at)[i];
	case ncclFloat64: return ((const double *)at)[i];
	default: abort();
	}
}

static uint16_t to_bfloat16(double value)
{
	const float single = (float)value;
	uint32_t bits;
	memcpy(&bits, &single, 4);
	return (uint16_t)(single != single ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void put(char *at, ncclDataType_t type, size_t i, double value)
{
	_Float16 half;
	switch (type) {
	case ncclFloat16: half = (_Float16)value; memcpy(at + 2 * i, &half, 2); break;
	case ncclBfloat16: ((uint16_t *)at)[i] = to_bfloat16(value); break;
	case ncclInt32: ((int32_t *)at)[i] = (int32_t)value; break;
	case ncclFloat32: ((float *)at)[i] = (float)value; break;
	case ncclInt64: ((int64_t *)at)[i] = (int64_t)value; break;
	case ncclFloat64: ((double *)at)[i] = value; break;
	default: abort();
	}
}

static double reduced(ncclRedOp_t op, double a, double b)
{
	return op == ncclSum ? a + b : op == ncclMax ? (a > b ? a : b) : (a < b ? a : b);
}

/* ---- errors ---- */

static ncclResult_t refuse(const char *why)
{
	snprintf(said, sizeof said, "%s", why);
	return ncclInvalidUsage;
}

const char *ncclGetErrorString(ncclResult_t result)
{
	return result == ncclRemoteError ? "remote process exited or there was a network error" : "invalid usage";
}

const char *ncclGetLastError(ncclComm_t comm)
{
	(void)comm;
	return said;
}

ncclResult_t ncclGetVersion(int *version)
{
	*version = NCCL_VERSION_CODE + (ncclsim_told("version") ? ncclsim_rank() : 0);
	return ncclSuccess;
}

/* ---- communicators ---- */

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
	memset(id, 0, sizeof *id);
	snprintf(id->internal, sizeof id->internal, "ncclsim %d", ncclsim_rank());
	return ncclSuccess;
}

static ncclResult_t create(MPI_Comm mpi, ncclComm_t *comm)
{
	struct ncclComm *c = calloc(1, sizeof *c);
	c->size = 1;
	if (mpi != MPI_COMM_NULL) {
		MPI_Comm_size(mpi, &c->size);
		MPI_Comm_rank(mpi, &c->rank);
	}
	c->mpi = mpi;
	c->known = calloc((size_t)c->size, 1);
	c->looks = LOOKS;
	*comm = c;
	return ncclInProgress;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t *config)
{
	int world = 1, own = 0, with_mpi = 0;
	MPI_Comm mpi = MPI_COMM_NULL;
	*comm = NULL;
	MPI_Initialized(&with_mpi);
	if (with_mpi) {
		MPI_Comm_size(MPI_COMM_WORLD, &world);
		MPI_Comm_rank(MPI_COMM_WORLD, &own);
	}
	if (ranks != world || rank != own || strcmp(id.internal, "ncclsim 0") != 0 || config->blocking != 0)
		return refuse("the simulation is for all ranks of a job, in their order, with the first one's id, not blocking");
	if (with_mpi)
		MPI_Comm_dup(MPI_COMM_WORLD, &mpi);
	create(mpi, comm);
	(*comm)->endless = ncclsim_told("init");
	return ncclInProgress;
}

static int is_busy(const struct ncclComm *c)
{
	return c->looks > 0 || c->greetings > 0 || (c->ending && c->left > 0);
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int colour, int key, ncclComm_t *part, ncclConfig_t *config)
{
	MPI_Comm mpi = MPI_COMM_NULL;
	*part = NULL;
	if (is_busy(comm) || config)
		return refuse("a split of a communicator on which a call goes on");
	if (comm->mpi != MPI_COMM_NULL)
		MPI_Comm_split(comm->mpi, colour == NCCL_SPLIT_NOCOLOR ? MPI_UNDEFINED : colour, key, &mpi);
	comm->looks = LOOKS;
	if (mpi != MPI_COMM_NULL)
		create(mpi, part);
	return ncclInProgress;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int *count)
{
	*count = comm->size;
	return is_busy(comm) ? refuse("a question while a call goes on") : ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank)
{
	*rank = comm->rank;
	return is_busy(comm) ? refuse("a question while a call goes on") : ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
	int done = 1;
	*state = ncclInProgress;
	if (comm->endless)
		return ncclSuccess;
	if (comm->greetings)
		MPI_Testall(comm->greetings, comm->greeting, &done, MPI_STATUSES_IGNORE);
	if (done)
		comm->greetings = 0;
	if (comm->looks > 0 && done)
		comm->looks--;
	if (comm->ending)
		ncclsim_move();
	if (!is_busy(comm))
		*state = comm->error;
	return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
	if (is_busy(comm))
		return refuse("the end of a communicator on which a call goes on");
	comm->looks = LOOKS;
	return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
	if (is_busy(comm))
		return refuse("the end of a communicator that was not made ready for it");
	if (comm->mpi != MPI_COMM_NULL)
		MPI_Comm_free(&comm->mpi);
	free(comm->known);
	free(comm);
	return ncclSuccess;
}

/* Its work stays on the streams and does nothing any more; messages under way are left to the end of the job. */
ncclResult_t ncclCommAbort(ncclComm_t comm)
{
	comm->endless = 1;
	comm->error = ncclRemoteError;
	return ncclSuccess;
}

/* ---- work ---- */

static void begin(struct work *w)
{
	ncclsim_open_memory();
	for (int i = 0; i < w->count; i++) {
		struct message *m = &w->message[i];
		m->host = malloc(m->bytes + 1);
		if (m->out) {
			memcpy(m->host, m->device, m->bytes);
			MPI_Isend(m->host, (int)m->bytes, MPI_BYTE, m->peer, DATA, w->comm->mpi, &w->request[i]);
		} else {
			MPI_Irecv(m->host, (int)m->bytes, MPI_BYTE, m->peer, DATA, w->comm->mpi, &w->request[i]);
		}
	}
	ncclsim_close_memory();
	w->begun = 1;
}

/* In the order of ranks. */
static void reduce(const struct work *w)
{
	const char *from[64];
	for (int i = 0; i < w->count; i++)
		if (!w->message[i].out)
			from[w->message[i].peer] = w->message[i].host;
	from[w->comm->rank] = w->own;
	for (size_t e = 0; e < w->elements; e++) {
		double value = get(from[0], w->type, e);
		for (int r = 1; r < w->comm->size; r++)
			value = reduced(w->op, value, get(from[r], w->type, e));
		put(w->to, w->type, e, value);
	}
}

static void finish(struct work *w)
{
	ncclsim_open_memory();
	if (w->to)
		reduce(w);
	for (int i = 0; i < w->count; i++) {
		struct message *m = &w->message[i];
		if (!m->out && !w->to)
			memcpy(m->device, m->host, m->bytes);
		free(m->host);
	}
	ncclsim_close_memory();
}

static int step(void *work)
{
	struct work *w = work;
	int done;
	if (w->comm->endless)
		return 0;
	if (!w->begun)
		begin(w);
	MPI_Testall(w->count, w->request, &done, MPI_STATUSES_IGNORE);
	if (!done)
		return 0;
	finish(w);
	w->comm->left--;
	free(w);
	return 1;
}

/* The first time, both sides have to call before it can be known where messages go. */
static void greet(struct ncclComm *c, const struct work *w)
{
	for (int i = 0; i < w->count; i++) {
		const int peer = w->message[i].peer;
		if (c->known[peer])
			continue;
		c->known[peer] = 1;
		MPI_Isend(NULL, 0, MPI_BYTE, peer, GREETING, c->mpi, &c->greeting[c->greetings++]);
		MPI_Irecv(NULL, 0, MPI_BYTE, peer, GREETING, c->mpi, &c->greeting[c->greetings++]);
	}
}

static ncclResult_t go(struct work *w)
{
	struct ncclComm *c = w->comm;
	c->group = NULL;
	c->left++;
	if (ncclsim_told("error") && ncclsim_rank() == 1 && ++c->calls > 20) {
		c->error = ncclRemoteError;
		snprintf(said, sizeof said, "the network is simulated to fail");
	}
	greet(c, w);
	c->looks = LOOKS;
	ncclsim_push(w->stream, step, w);
	return ncclInProgress;
}

/* The work of `comm` in the group of calls under way. */
static struct work *of_group(ncclComm_t comm, void *stream)
{
	if (!comm->group) {
		struct work *w = calloc(1, sizeof *w);
		*w = (struct work){ .comm = comm, .stream = stream, .next_of_group = groups };
		comm->group = groups = w;
	}
	return comm->group;
}

ncclResult_t ncclGroupStart(void)
{
	depth++;
	return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
	ncclResult_t result = ncclSuccess;
	if (--depth > 0)
		return ncclSuccess;
	while (groups) {
		struct work *w = groups;
		groups = w->next_of_group;
		result = go(w);
	}
	return result;
}

static ncclResult_t add(ncclComm_t comm, cudaStream_t stream, int peer, int out, const void *data, size_t bytes)
{
	if (is_busy(comm) || comm->error || peer < 0 || peer >= comm->size)
		return refuse("a message while a call goes on, or to nobody");
	struct work *w = of_group(comm, stream);
	if (w->count == MOST || w->stream != stream)
		return refuse("too many messages in a group, or two streams");
	w->message[w->count++] = (struct message){ peer, out, (char *)data, NULL, bytes };
	return ncclSuccess;
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream)
{
	return depth ? add(comm, stream, peer, 1, data, count * size_of(type)) : refuse("a message outside of a group");
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream)
{
	return depth ? add(comm, stream, peer, 0, data, count * size_of(type)) : refuse("a message outside of a group");
}

/* Every rank's part for each: `out` from `send` + the receiver's number * out_stride, and in alike. */
static ncclResult_t between_all(ncclComm_t comm, cudaStream_t stream, const char *send, size_t out_stride, char *receive,
                                size_t in_stride, size_t bytes)
{
	ncclResult_t result = ncclSuccess;
	for (int i = 0; i < comm->size && result == ncclSuccess; i++) {
		if (i == comm->rank)
			continue;
		result = add(comm, stream, i, 1, send + (size_t)i * out_stride, bytes);
		if (result == ncclSuccess)
			result = add(comm, stream, i, 0, receive + (size_t)i * in_stride, bytes);
	}
	return result;
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream)
{
	const size_t bytes = count * size_of(type);
	if (send != (char *)receive + (size_t)comm->rank * bytes)
		return refuse("only in place");
	ncclGroupStart();
	const ncclResult_t result = between_all(comm, stream, send, 0, receive, bytes, bytes), end = ncclGroupEnd();
	return result == ncclSuccess ? end : result;
}

/* What each rank keeps lies `stride` from the next one's. */
static ncclResult_t reduce_parts(const char *send, char *receive, size_t count, size_t stride, ncclDataType_t type,
                                 ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
	ncclGroupStart();
	const ncclResult_t result = between_all(comm, stream, send, stride, receive, 0, count * size_of(type));
	if (result == ncclSuccess) {
		struct work *w = of_group(comm, stream);
		w->own = (char *)send + (size_t)comm->rank * stride;
		w->to = receive;
		w->elements = count;
		w->type = type;
		w->op = op;
	}
	const ncclResult_t end = ncclGroupEnd();
	return result == ncclSuccess ? end : result;
}

ncclResult_t ncclReduceScatter(const void *send, void *receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream)
{
	const size_t bytes = count * size_of(type);
	if (receive != (const char *)send + (size_t)comm->rank * bytes)
		return refuse("only in place");
	return reduce_parts(send, receive, count, bytes, type, op, comm, stream);
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream)
{
	return send == receive ? reduce_parts(send, receive, count, 0, type, op, comm, stream) : refuse("only in place");
}
