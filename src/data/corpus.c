#include "config.h"

#include "data/corpus.h"

#include "base/log.h"
#include "base/size.h"
#include "data/pair.h"
#include "data/split.h"

static int check_ids(const struct sp_corpus *corpus, const struct sp_corpus_options *o)
{
	const int64_t readable = INT64_C(1) << 31;
	int32_t largest;
	if (sp_indexed_tokens(corpus->x) == 0)
		return sp_fail(SP_ERR_FORMAT,
			"%s.bin holds no tokens: make it again with seqpar tokenize from a text that is not empty",
			o->prefix);
	if (sp_indexed_tokens(corpus->x) > readable)
		return SP_OK;
	int status = sp_indexed_max_id(corpus->x, &largest);
	if (!status && largest >= o->alphabet->size)
		status = sp_fail(SP_ERR_FORMAT,
			"%s.bin: its largest id is %d, but the vocabulary %s has %d tokens: it was made with another vocabulary; "
			"give that one as data.vocab, or make the file again with seqpar tokenize --vocab %s",
			o->prefix, (int)largest, o->vocab, (int)o->alphabet->size, o->vocab);
	return status;
}

/* Short documents and long samples make padding, which costs time and memory and teaches nothing. */
static void tell_fill(const struct sp_map *map, const struct sp_corpus_options *o, enum sp_split split)
{
	const double fill = sp_map_fill(map);
	const int is_low = split == SP_TRAIN && fill < 0.25;
	const char *remedy = "; a sample holds text of one document only: set data.packing = true, use longer documents, or set a "
		"shorter train.sequence_length";
	sp_log(is_low ? SP_LOG_WARNING : SP_LOG_INFO, "%s: %lld samples of %s, %.0f %% text, the rest padding%s",
		o->prefix, (long long)sp_map_size(map), sp_split_name(split), 100 * fill, is_low ? remedy : "");
}

/* What is packed beside what. */
static int open_pack(struct sp_corpus *corpus, const struct sp_corpus_options *o, enum sp_split split)
{
	const struct sp_pack_options options = {
		.length = o->packed,
		.specials = sp_pair_specials(o->rule.order),
		.seed = o->seed,
		.stream = sp_corpus_stream(o->number, split, SP_STREAM_PACK),
	};
	int status = sp_pack_open(corpus->map[split], &options, &corpus->pack[split]);
	if (!status)
		sp_log(SP_LOG_INFO, "%s: %lld samples of %s in %lld sequences, %.1f %% tokens, the rest padding", o->prefix,
			(long long)sp_map_size(corpus->map[split]), sp_split_name(split),
			(long long)sp_pack_size(corpus->pack[split]), 100 * sp_pack_fill(corpus->pack[split]));
	return status;
}

static int open_split(struct sp_corpus *corpus, const struct sp_corpus_options *o, enum sp_split split)
{
	struct sp_map_options map = {
		.rule = o->rule,
		.short_seq_prob = o->short_seq_prob,
		.same_cuts = o->packed > 0,
		.seed = o->seed,
		.stream = sp_corpus_stream(o->number, split, SP_STREAM_MAP),
		.first = corpus->bound[split],
		.end = corpus->bound[split + 1],
	};
	if (o->weight[split] <= 0)
		return SP_OK;
	int status = sp_map_open(corpus->x, &map, &corpus->map[split]);
	if (status)
		return status;
	const char *least = o->rule.order ? "two tokens" : "a token";
	if (sp_map_size(corpus->map[split]) == 0)
		return sp_fail(SP_ERR_SETTING,
			"%s: of the %lld documents that data.split gives to %s, none has %s: change data.split, or give it no "
			"weight there",
			o->prefix, (long long)(map.end - map.first), sp_split_name(split), least);
	if (sp_map_unused(corpus->map[split]) > 0)
		sp_log(SP_LOG_WARNING, "%s: documents of %s that are not used because they do not have %s: %lld", o->prefix,
			sp_split_name(split), least, (long long)sp_map_unused(corpus->map[split]));
	if (o->packed > 0)
		return open_pack(corpus, o, split);
	tell_fill(corpus->map[split], o, split);
	return SP_OK;
}

static void tell_long_sentences(const struct sp_corpus *corpus, int32_t most)
{
	int64_t count = 0;
	for (int64_t i = 0; i < sp_indexed_sentences(corpus->x); i++)
		count += sp_indexed_size(corpus->x, i) > most;
	if (count > 0)
		sp_log(SP_LOG_INFO, "%s: %lld of %lld sentences are longer than a sample (%d tokens) and will be cut",
			corpus->prefix, (long long)count, (long long)sp_indexed_sentences(corpus->x), (int)most);
}

int sp_corpus_open(const struct sp_corpus_options *options, struct sp_corpus *corpus)
{
	*corpus = (struct sp_corpus){ .prefix = options->prefix };
	int status = sp_indexed_open(options->prefix, &corpus->x);
	if (!status)
		status = check_ids(corpus, options);
	if (!status)
		status = sp_split_bounds(options->weight, sp_indexed_documents(corpus->x), options->prefix, corpus->bound);
	for (int s = 0; !status && s < SP_SPLITS; s++)
		status = open_split(corpus, options, (enum sp_split)s);
	if (status)
		sp_corpus_close(corpus);
	else
		tell_long_sentences(corpus, options->rule.most);
	return status;
}

void sp_corpus_close(struct sp_corpus *corpus)
{
	for (int s = 0; s < SP_SPLITS; s++) {
		sp_pack_close(corpus->pack[s]);
		sp_map_close(corpus->map[s]);
	}
	sp_indexed_close(corpus->x);
	*corpus = (struct sp_corpus){ 0 };
}

int64_t sp_corpus_size(const struct sp_corpus *corpus, enum sp_split split)
{
	return corpus->pack[split] ? sp_pack_size(corpus->pack[split]) : sp_map_size(corpus->map[split]);
}

int sp_corpus_count(const struct sp_corpus *corpus, enum sp_split split, int32_t ids, int64_t *count)
{
	enum { BLOCK = 4096 };
	int32_t id[BLOCK];
	const int64_t first = sp_indexed_document_first(corpus->x, corpus->bound[split]);
	const int64_t end = sp_indexed_document_first(corpus->x, corpus->bound[split + 1]);

	for (int64_t i = first; i < end; i++) {
		const int32_t size = sp_indexed_size(corpus->x, i);
		for (int32_t at = 0; at < size; at += BLOCK) {
			const int32_t n = (int32_t)sp_min(BLOCK, size - at);
			sp_indexed_read(corpus->x, i, at, n, id);
			for (int32_t k = 0; k < n; k++) {
				if (id[k] < 0 || id[k] >= ids)
					return sp_fail(SP_ERR_FORMAT, "%s.bin: sentence %lld has id %d, but the vocabulary has %d tokens",
						corpus->prefix, (long long)i, (int)id[k], (int)ids);
				count[id[k]]++;
			}
		}
	}
	return SP_OK;
}
