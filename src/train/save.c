#include "config.h"

#include "train/save.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "checkpoint/directory.h"
#include "checkpoint/durable.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/pieces.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/tokenizer_files.h"
#include "train/share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REASON = 512, MODEL = 0, OPTIMIZER, TENSOR_FILES, MOST_FIXED = 4, LARGEST_VOCAB = 1 << 28 };

static const char *const tensor_files[TENSOR_FILES] = { SP_CHECKPOINT_MODEL, SP_CHECKPOINT_OPTIMIZER };

enum state { IDLE = 0, WRITING, PUBLISHING };

/* A file of tensors, laid out once. */
struct tensors {
	struct sp_tensor_entry *entry;
	int count;
	void *head;
	size_t head_size;
	uint64_t size;
};

struct small_file {
	const char *name;
	char *bytes;
	size_t count;
};

struct sp_save {
	struct sp_save_options options;
	struct sp_share share;
	int *number; /* [parameters held] in the whole model, which is what files have */
	int whole;   /* parameters of the whole model */
	int64_t owned;
	float *w, *m, *v; /* the snapshot, own share */
	struct tensors tensors[TENSOR_FILES];
	struct small_file fixed[MOST_FIXED]; /* rank 0: the same in all checkpoints */
	int fixed_count;

	/* of the save under way, or the last one */
	enum state state; /* the same on all ranks */
	int64_t step;
	char *record; /* rank 0 */
	struct sp_piece *piece; /* of this rank; on rank 0 then of all */
	size_t pieces, room;
	struct sp_manifest manifest;
	int status; /* of this rank's stage; rank 0: of all */
	char why[REASON];
	double begun, snapshot;
	struct sp_save_result result;
	int ended; /* `result` has not been asked for */

	pthread_t thread;
	int joinable;
	atomic_int busy;
};

static int rank_of(const struct sp_save *s)
{
	return sp_comm_rank(s->options.world);
}

static const char *dir_of(const struct sp_save *s)
{
	return s->options.settings->checkpoint.dir;
}

/* ---- what is the same in all checkpoints ---- */

/* A vector has one dimension, and so has every parameter without weight decay and no other. */
static struct sp_tensor_entry entry_of(const struct sp_parameter *p, const char *name)
{
	struct sp_tensor_entry e = { .name = name, .dtype = SP_TENSOR_F32, .dimensions = p->decay ? 2 : 1 };
	e.shape[0] = p->decay ? p->whole_rows : p->whole_cols;
	e.shape[1] = p->decay ? p->whole_cols : 0;
	e.elements = p->whole_rows * p->whole_cols;
	return e;
}

/* For each prefix all parameters in the order of the table. */
static int lay_out(struct tensors *t, const struct sp_parameters *table, const char *const *prefix, int prefixes)
{
	static const char *const metadata[] = { "format", "pt", NULL };
	t->entry = calloc((size_t)(prefixes * table->count), sizeof *t->entry);
	int bad = !t->entry;
	for (int i = 0; i < prefixes * table->count && !bad; i++) {
		const struct sp_parameter *p = &table->entry[i % table->count];
		char *name = NULL;
		bad = asprintf(&name, "%s%s", prefix[i / table->count], p->name) < 0;
		if (!bad)
			t->entry[t->count++] = entry_of(p, name);
	}
	if (bad)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the heads of checkpoints");
	return sp_safetensors_head(t->entry, t->count, metadata, &t->head, &t->head_size, &t->size);
}

static void free_tensors(struct tensors *t)
{
	for (int i = 0; i < t->count; i++)
		free((char *)t->entry[i].name);
	free(t->entry);
	free(t->head);
}

static void add_fixed(struct sp_save *s, const char *name, char *bytes, size_t count)
{
	s->fixed[s->fixed_count++] = (struct small_file){ name, bytes, count };
}

static int add_fixed_text(struct sp_save *s, const char *name, int status, char *text)
{
	if (!status)
		add_fixed(s, name, text, strlen(text));
	return status;
}

/* The vocabulary byte for byte, and what goes with it. */
static int form_vocabulary(struct sp_save *s, int *pad)
{
	const char *path = s->options.settings->data.vocab;
	struct sp_vocab *vocab;
	char why[REASON], *bytes, *text = NULL;
	size_t count;
	int cased, status = sp_durable_read(path, LARGEST_VOCAB, &bytes, &count, why, sizeof why);
	if (status)
		return sp_fail(status, "data.vocab = %s", why);
	add_fixed(s, SP_CHECKPOINT_VOCAB, bytes, count);
	status = sp_vocab_parse(path, bytes, count, &vocab);
	if (status)
		return status;
	*pad = sp_vocab_special(vocab, SP_PAD);
	status = sp_tokenizer_cased(NULL, vocab, &cased);
	sp_vocab_free(vocab);
	if (!status)
		status = sp_tokenizer_config_text(cased, s->options.config->max_positions, &text);
	status = add_fixed_text(s, SP_CHECKPOINT_TOKENIZER, status, text);
	if (!status)
		status = sp_tokenizer_special_text(&text);
	return add_fixed_text(s, SP_CHECKPOINT_SPECIAL, status, text);
}

static int form_fixed(struct sp_save *s)
{
	char *text = NULL;
	int pad = 0, status = SP_OK;
	if (strcmp(s->options.settings->data.source, "synthetic") != 0)
		status = form_vocabulary(s, &pad);
	if (!status)
		status = sp_hf_config_text(s->options.config, pad, "float32", &text);
	return add_fixed_text(s, SP_CHECKPOINT_CONFIG, status, text);
}

/* ---- create, destroy ---- */

/* Touched now, so that the process is as large from the start as it will be. */
static int take_memory(struct sp_save *s)
{
	const size_t bytes = (size_t)s->owned * sizeof(float);
	s->room = 3 * (size_t)s->share.count + TENSOR_FILES;
	s->piece = calloc(s->room, sizeof *s->piece);
	s->w = malloc(3 * bytes + 1);
	if (!s->piece || !s->w)
		return sp_fail(SP_ERR_MEMORY, "out of memory for %zu bytes of a checkpoint's snapshot", 3 * bytes);
	memset(s->w, 0, 3 * bytes);
	s->m = s->w + s->owned;
	s->v = s->m + s->owned;
	return SP_OK;
}

static int number_parameters(struct sp_save *s, const struct sp_parameters *whole)
{
	const struct sp_parameters *table = s->options.table;
	s->whole = whole->count;
	s->number = calloc((size_t)table->count, sizeof *s->number);
	if (!s->number)
		return sp_fail(SP_ERR_MEMORY, "out of memory for a list of %d parameters", table->count);
	for (int i = 0; i < table->count; i++)
		s->number[i] = (int)(sp_parameters_find(whole, table->entry[i].name) - whole->entry);
	return SP_OK;
}

static int form_tensors(struct sp_save *s)
{
	static const char *const values[] = { "" }, *const moments[] = { "exp_avg.", "exp_avg_sq." };
	struct sp_parameters whole;
	int status = sp_parameters_create(s->options.config, &whole);
	if (status)
		return status;
	status = number_parameters(s, &whole);
	if (!status)
		status = lay_out(&s->tensors[MODEL], &whole, values, 1);
	if (!status)
		status = lay_out(&s->tensors[OPTIMIZER], &whole, moments, 2);
	sp_parameters_destroy(&whole);
	return status;
}

int sp_save_create(const struct sp_save_options *options, struct sp_save **save)
{
	struct sp_save *s = calloc(1, sizeof *s);
	if (!s)
		return sp_fail(SP_ERR_MEMORY, "out of memory for saving checkpoints");
	s->options = *options;
	s->owned = sp_reduce_owned(options->reduce);
	int status = sp_share_create(options->reduce, sp_reduce_own, options->table, &s->share);
	if (!status)
		status = take_memory(s);
	if (!status)
		status = form_tensors(s);
	if (!status && rank_of(s) == 0)
		status = form_fixed(s);
	if (status) {
		sp_save_destroy(s);
		return status;
	}
	*save = s;
	return SP_OK;
}

static void join(struct sp_save *s)
{
	if (s->joinable)
		pthread_join(s->thread, NULL);
	s->joinable = 0;
}

void sp_save_destroy(struct sp_save *s)
{
	if (!s)
		return;
	join(s);
	for (int i = 0; i < s->fixed_count; i++)
		free(s->fixed[i].bytes);
	for (int f = 0; f < TENSOR_FILES; f++)
		free_tensors(&s->tensors[f]);
	free(s->number);
	free(s->record);
	free(s->piece);
	free(s->w);
	sp_share_destroy(&s->share);
	free(s);
}

/* ---- threads ---- */

struct stage {
	struct sp_save *save;
	void (*run)(struct sp_save *s);
};

static void *run_stage(void *argument)
{
	struct stage stage = *(struct stage *)argument;
	free(argument);
	stage.run(stage.save);
	atomic_store(&stage.save->busy, 0);
	return NULL;
}

/* Signals are for the thread that trains. Without a thread the work is done at once. */
static void begin_stage(struct sp_save *s, void (*run)(struct sp_save *s))
{
	struct stage *stage = malloc(sizeof *stage);
	sigset_t all, before;
	join(s);
	atomic_store(&s->busy, 1);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (stage) {
		*stage = (struct stage){ s, run };
		s->joinable = pthread_create(&s->thread, NULL, run_stage, stage) == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (s->joinable)
		return;
	free(stage);
	run(s);
	atomic_store(&s->busy, 0);
}

int sp_save_busy(const struct sp_save *s)
{
	return atomic_load(&s->busy);
}

/* ---- writing the own share ---- */

static void tensor_path(const struct sp_save *s, int file, char *path, size_t size)
{
	char part[PATH_MAX - 64];
	sp_checkpoint_part(dir_of(s), s->step, part, sizeof part);
	snprintf(path, size, "%s/%s", part, tensor_files[file]);
}

static int put_part(struct sp_save *s, int file, int fd, const char *path, const struct sp_share_part *part, int tensor,
                    const float *own)
{
	struct sp_piece *p = &s->piece[s->pieces++];
	*p = (struct sp_piece){ .begin = s->tensors[file].entry[tensor].begin + 4 * (uint64_t)part->first, .file = file };
	return sp_piece_put_floats(p, fd, path, own + part->own, part->count, s->why, sizeof s->why);
}

static int put_head(struct sp_save *s, int file, int fd, const char *path)
{
	struct sp_piece *p = &s->piece[s->pieces++];
	*p = (struct sp_piece){ .begin = 0, .file = file };
	return sp_piece_put(p, fd, path, s->tensors[file].head, s->tensors[file].head_size, s->why, sizeof s->why);
}

static int put_parts(struct sp_save *s, int file, int fd, const char *path)
{
	int status = rank_of(s) == 0 ? put_head(s, file, fd, path) : SP_OK;
	for (int i = 0; i < s->share.count && !status; i++) {
		const struct sp_share_part *part = &s->share.part[i];
		const int number = s->number[part->parameter];
		if (!s->options.table->entry[part->parameter].counted)
			continue;
		if (file == MODEL) {
			status = put_part(s, file, fd, path, part, number, s->w);
			continue;
		}
		status = put_part(s, file, fd, path, part, number, s->m);
		if (!status)
			status = put_part(s, file, fd, path, part, s->whole + number, s->v);
	}
	return status;
}

static int write_file(struct sp_save *s, int file)
{
	char path[PATH_MAX], ignored[8];
	tensor_path(s, file, path, sizeof path);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return sp_say(SP_ERR_IO, s->why, sizeof s->why, "%s: %s", path, strerror(errno));
	int status = put_parts(s, file, fd, path);
	int closed = sp_durable_close(fd, path, status ? ignored : s->why, status ? sizeof ignored : sizeof s->why);
	return status ? status : closed;
}

static void write_share(struct sp_save *s)
{
	s->pieces = 0;
	s->status = sp_checkpoint_begin(dir_of(s), s->step, s->why, sizeof s->why);
	for (int file = 0; file < TENSOR_FILES && !s->status; file++)
		s->status = write_file(s, file);
}

/* ---- publishing, on rank 0 ---- */

static int enter_tensors(struct sp_save *s)
{
	int status = SP_OK;
	s->manifest.count = 0;
	for (int file = 0; file < TENSOR_FILES && !status; file++) {
		uint32_t crc = 0;
		status = sp_pieces_join(s->piece, s->pieces, file, s->tensors[file].size, &crc, s->why, sizeof s->why);
		if (!status)
			sp_manifest_add(&s->manifest, tensor_files[file], s->tensors[file].size, crc);
	}
	return status;
}

static int put_small(struct sp_save *s, const char *name, const char *bytes, size_t count)
{
	return sp_checkpoint_put(dir_of(s), s->step, name, bytes, count, &s->manifest, s->why, sizeof s->why);
}

/* Or, if some rank has failed, cleaning up. */
static void publish(struct sp_save *s)
{
	if (!s->status)
		s->status = enter_tensors(s);
	for (int i = 0; i < s->fixed_count && !s->status; i++)
		s->status = put_small(s, s->fixed[i].name, s->fixed[i].bytes, s->fixed[i].count);
	if (!s->status)
		s->status = put_small(s, SP_CHECKPOINT_RECORD, s->record, strlen(s->record));
	if (!s->status)
		s->status = sp_checkpoint_publish(dir_of(s), s->step, &s->manifest, s->options.settings->checkpoint.keep, s->why,
		                                  sizeof s->why);
	if (s->status)
		sp_checkpoint_discard(dir_of(s), s->step);
}

/* ---- what the ranks tell rank 0 when all have written ---- */

struct verdict {
	int32_t status, pieces;
	char why[REASON];
};

static int pass_on(struct sp_comm *world, const struct sp_exchange *args)
{
	struct sp_transfer transfer = { NULL };
	int status = sp_comm_exchange_start(world, args, &transfer);
	return status ? status : sp_comm_wait(world, &transfer);
}

static int deliver(struct sp_save *s)
{
	struct verdict verdict = { .status = s->status, .pieces = (int32_t)s->pieces };
	memcpy(verdict.why, s->why, sizeof verdict.why);
	struct sp_exchange tell = { .send = &verdict, .send_bytes = sizeof verdict, .to = 0, .from = 0 };
	struct sp_exchange give = { .send = s->piece, .send_bytes = s->pieces * sizeof *s->piece, .to = 0, .from = 0 };
	int status = pass_on(s->options.world, &tell);
	return status ? status : pass_on(s->options.world, &give);
}

static int make_room(struct sp_save *s, size_t more)
{
	if (s->pieces + more <= s->room)
		return SP_OK;
	struct sp_piece *grown = realloc(s->piece, (s->pieces + more) * sizeof *grown);
	if (!grown)
		return sp_fail(SP_ERR_MEMORY, "out of memory for a list of %zu pieces", s->pieces + more);
	s->piece = grown;
	s->room = s->pieces + more;
	return SP_OK;
}

/* The first reason counts. */
static int collect_from(struct sp_save *s, int rank)
{
	struct verdict verdict;
	struct sp_exchange ask = { .receive = &verdict, .receive_bytes = sizeof verdict, .from = rank, .to = rank };
	int status = pass_on(s->options.world, &ask);
	if (!status)
		status = make_room(s, (size_t)verdict.pieces);
	if (status)
		return status;
	struct sp_exchange get = { .receive = s->piece + s->pieces,
		                       .receive_bytes = (size_t)verdict.pieces * sizeof *s->piece,
		                       .from = rank,
		                       .to = rank };
	status = pass_on(s->options.world, &get);
	s->pieces += (size_t)verdict.pieces;
	if (!status && verdict.status && !s->status) {
		s->status = verdict.status;
		memcpy(s->why, verdict.why, sizeof s->why);
	}
	return status;
}

static int collect(struct sp_save *s)
{
	int status = SP_OK;
	if (rank_of(s) > 0)
		return deliver(s);
	for (int rank = 1; rank < sp_comm_size(s->options.world) && !status; rank++)
		status = collect_from(s, rank);
	return status;
}

/* ---- a save ---- */

static void end(struct sp_save *s)
{
	struct sp_save_result *r = &s->result;
	char name[SP_CHECKPOINT_NAME];
	if (rank_of(s) > 0)
		return;
	if (!s->status)
		s->options.newest = s->step;
	*r = (struct sp_save_result){ .step = s->step,
		                          .status = s->status,
		                          .snapshot = s->snapshot,
		                          .seconds = sp_clock() - s->begun,
		                          .newest = s->options.newest };
	for (int i = 0; i < s->manifest.count && !s->status; i++)
		r->bytes += s->manifest.entry[i].bytes;
	sp_checkpoint_name(s->step, name);
	snprintf(r->path, sizeof r->path, "%s/%s", dir_of(s), name);
	snprintf(r->text, sizeof r->text, "%s", s->why);
	s->ended = 1;
}

int sp_save_proceed(struct sp_save *s)
{
	int status = SP_OK;
	join(s);
	if (s->state == WRITING) {
		status = collect(s);
		if (!status && rank_of(s) == 0)
			begin_stage(s, publish);
		s->state = PUBLISHING;
	} else if (s->state == PUBLISHING) {
		end(s);
		sp_trace_end(SP_TRACE_FILES);
		s->state = IDLE;
	}
	return status;
}

/* The own share: values from their flat buffer, moments from what is kept of them. */
static int take_snapshot(struct sp_save *s, const float *values, struct sp_moments moments)
{
	const struct sp_reduce *reduce = s->options.reduce;
	int64_t to = 0, kept = 0;
	int status = SP_OK;
	for (int b = 0; b < sp_reduce_buckets(reduce) && !status; b++) {
		const struct sp_reduce_piece own = sp_reduce_own(reduce, b), keeps = sp_reduce_kept(reduce, b);
		const int64_t from = kept + own.offset - keeps.offset;
		const size_t bytes = (size_t)own.count * sizeof(float);
		status = sp_compute_copy_out(s->options.compute, s->w + to, values + own.offset, bytes);
		if (!status)
			status = sp_compute_copy_out(s->options.compute, s->m + to, moments.m + from, bytes);
		if (!status)
			status = sp_compute_copy_out(s->options.compute, s->v + to, moments.v + from, bytes);
		to += own.count;
		kept += keeps.count;
	}
	return status;
}

int sp_save_start(struct sp_save *s, const struct sp_record *record, const float *values, struct sp_moments moments)
{
	const double begun = sp_clock();
	int status = SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, "snapshot", -1);
	while (s->state != IDLE && !status)
		status = sp_save_proceed(s);
	if (!status)
		status = take_snapshot(s, values, moments);
	sp_trace_end(SP_TRACE_COMPUTE);
	free(s->record);
	s->record = NULL;
	if (!status && rank_of(s) == 0)
		status = sp_record_text(record, s->options.settings, &s->record);
	if (status)
		return status;
	s->step = record->step;
	s->begun = begun;
	s->snapshot = sp_clock() - begun;
	s->why[0] = 0;
	s->state = WRITING;
	sp_trace_begin(SP_TRACE_FILES, "checkpoint", -1);
	begin_stage(s, write_share);
	return SP_OK;
}

int sp_save_finish(struct sp_save *s, int *last)
{
	int32_t verdict;
	int status = SP_OK;
	while (s->state != IDLE && !status)
		status = sp_save_proceed(s);
	verdict = s->status;
	if (!status)
		status = sp_comm_broadcast(s->options.world, &verdict, sizeof verdict, 0);
	*last = verdict;
	return status;
}

int sp_save_result(struct sp_save *s, struct sp_save_result *result)
{
	if (!s->ended)
		return 0;
	*result = s->result;
	s->ended = 0;
	return 1;
}
