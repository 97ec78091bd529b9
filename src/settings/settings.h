/* Every setting of seqpar, typed, with one table behind it. May include: base.
 *
 * The table (sp_settings_table) holds name, type, default, range and help of each; it drives parsing, --help, the
 * manual page and the record in metrics. Order of precedence: defaults, -c FILE in the order given, then key=value
 * words. */
#ifndef SP_SETTINGS_SETTINGS_H
#define SP_SETTINGS_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

enum { SP_TEXT = 1024 }; /* bytes of a text setting, its end included */

enum sp_setting_norm { SP_NORM_POST = 0, SP_NORM_PRE };
enum sp_setting_activation { SP_ACTIVATION_GELU = 0, SP_ACTIVATION_GELU_TANH };
enum sp_setting_extend { SP_POSITIONS_NO = 0, SP_POSITIONS_TILE, SP_POSITIONS_INTERPOLATE };
enum sp_setting_linformer { SP_LINFORMED_HEAD = 0, SP_LINFORMED_LAYER, SP_LINFORMED_MODEL };
enum sp_setting_global { SP_GLOBAL_FIRST = 0, SP_GLOBAL_SEPARATORS };
enum sp_setting_ring { SP_RING_KV = 0, SP_RING_Q };
enum sp_setting_balance { SP_BALANCE_TOKENS = 0, SP_BALANCE_COST };
enum sp_setting_last_layer { SP_LAST_LAYER_READ = 0, SP_LAST_LAYER_ALL };
enum sp_setting_recompute { SP_RECOMPUTED_NONE = 0, SP_RECOMPUTED_ATTENTION, SP_RECOMPUTED_LAYER };
enum sp_setting_products { SP_MULTIPLY_AUTO = 0, SP_MULTIPLY_BLAS, SP_MULTIPLY_ONEDNN };
enum sp_setting_precision { SP_TRAIN_FP32 = 0, SP_TRAIN_TF32, SP_TRAIN_BF16, SP_TRAIN_FP16 };
enum sp_setting_kernel { SP_KERNEL_AUTO = 0, SP_KERNEL_FLASH, SP_KERNEL_CUDNN };
enum sp_setting_graph { SP_GRAPH_AUTO = 0, SP_GRAPH_ON, SP_GRAPH_OFF };
enum sp_setting_position { SP_POSITION_LEARNED = 0, SP_POSITION_ROPE };
enum sp_setting_decay { SP_DECAY_LINEAR = 0, SP_DECAY_COSINE, SP_DECAY_CONSTANT };

struct sp_settings {
	struct {
		char preset[16]; /* tiny mini small medium base large; sets layers, hidden, heads, intermediate unless given */
		int64_t layers, hidden, heads, intermediate, vocab_size, max_positions;
		int norm;       /* enum sp_setting_norm */
		int activation; /* enum sp_setting_activation */
		double dropout, attention_dropout, layer_norm_eps;
		int sentence_order;
		int extend_positions; /* enum sp_setting_extend */
		int64_t linformer_k;
		int linformer_share; /* enum sp_setting_linformer */
		int64_t window, globals;
		int global_tokens; /* enum sp_setting_global */
		int64_t global_every;
		int position;         /* enum sp_setting_position */
		double rope_base;
	} model;
	struct {
		char source[SP_TEXT]; /* synthetic | PREFIX | 0.7:A,0.3:B */
		char vocab[SP_TEXT];  /* vocab.txt; empty with synthetic data */
		char split[64];       /* weights of train, valid, test: 949,50,1 */
		double mask_prob, short_seq_prob;
		int packing; /* a sequence holds several samples */
	} data;
	struct {
		int64_t iters, global_batch, micro_batch, sequence_length, eval_interval, eval_iters;
		uint64_t seed;
		int recompute; /* enum sp_setting_recompute */
		int last_layer; /* enum sp_setting_last_layer */
		int precision;  /* enum sp_setting_precision */
		double loss_scale;          /* at first, in fp16 */
		int64_t loss_scale_window;  /* steps until it is doubled; 0: it stays */
	} train;
	struct {
		double lr, min_lr, warmup_fraction;
		int64_t decay_iters; /* 0: train.iters */
		int decay_style;     /* enum sp_setting_decay */
		double weight_decay, beta1, beta2, eps, clip_norm;
	} optimizer;
	struct {
		int64_t sequence;   /* ranks that share a sequence */
		int64_t tensor;     /* ranks that share the weights of each layer */
		int64_t pipeline;   /* stages that share the layers */
		int64_t virtual_stages; /* runs of layers on each of them */
		char attention[16]; /* a kind of src/attention */
		int64_t gather_chunk; /* tokens; 0: all */
		int ring;             /* enum sp_setting_ring */
		int64_t ulysses;      /* ranks that exchange heads; 0: as many as can */
		int balance;          /* enum sp_setting_balance */
		double balance_slack; /* share of an equal part that a rank may hold beyond it */
		double balance_attention; /* time of an operation of attention, in those of products */
		int overlap;
		int optimizer_shard; /* moments, and updating, shared out over replicas */
	} parallel;
	struct {
		char device[16], comm[16];
		int attention_kernel; /* enum sp_setting_kernel */
		int graph;       /* enum sp_setting_graph */
		int products;    /* enum sp_setting_products */
		int64_t threads; /* per rank; 0: cores available to this rank / ranks on this machine */
		int64_t timeout; /* seconds; 0: none */
	} backend;
	struct {
		char dir[SP_TEXT];     /* empty: nothing is saved */
		int64_t interval;      /* 0: only at the end and when stopped */
		int64_t keep;
		char resume[SP_TEXT];  /* auto | none | PATH */
		char init[SP_TEXT];    /* a model directory in Hugging Face's layout; empty: initial values from the seed */
	} checkpoint;
	struct {
		int64_t interval;
		char metrics[SP_TEXT], trace[SP_TEXT]; /* empty: none */
		int shares;
	} log;
	uint64_t given[2]; /* a bit for each row of the table that a file or a word has set */
};

void sp_settings_default(struct sp_settings *s);

/* Reads an INI file. An unknown key, wrong type, value out of range or over-long line is logged with file, line, key
 * and the nearest known key. SP_ERR_SETTING, SP_ERR_IO. */
int sp_settings_read(struct sp_settings *s, const char *file);

/* The same from `size` bytes of memory; `name` stands for the file in messages. */
int sp_settings_parse(struct sp_settings *s, const char *name, const char *text, size_t size);

/* One `section.key=value` word of the command line. SP_ERR_SETTING, logged. */
int sp_settings_word(struct sp_settings *s, const char *word);

/* 1 if a file or a word has set this one ("model.hidden"), be it to its default. */
int sp_settings_given(const struct sp_settings *s, const char *name);

/* Applies the preset to what was not given, and checks what can be checked without data or ranks (heads divide hidden,
 * sequence_length <= max_positions unless packed, batch divisible by micro-batch, ...). SP_ERR_SETTING, logged with remedy. */
int sp_settings_finish(struct sp_settings *s);

/* Ranks that hold one model and the sequences of one data rank: the number of ranks is a multiple of it. */
int64_t sp_settings_model_ranks(const struct sp_settings *s);

/* The sizes that a model.preset, which must be a known one, stands for. */
void sp_settings_preset(const char *name, int64_t *layers, int64_t *hidden);

/* For help, manual and records: the i-th row's parts, NULL name after the last. `value` prints the current value. */
struct sp_setting_row {
	const char *name;    /* section.key */
	const char *type;    /* "integer", "number", "text", "true|false", or the words allowed: "post|pre" */
	const char *initial; /* default, as text */
	const char *range;   /* as text, "" if any */
	const char *help;    /* one sentence */
};
int sp_settings_row(size_t i, struct sp_setting_row *row); /* nonzero after the last */
void sp_settings_value(const struct sp_settings *s, size_t i, char *text, size_t size);

#endif
