/* One row a setting. Adding a setting is a member of struct sp_settings and a row here; parsing, help, the manual
 * page's test and the record in metrics follow. */
#include "config.h"

#include "settings/table.h"

#include <string.h>

#define AT(member) offsetof(struct sp_settings, member), sizeof(((struct sp_settings *)0)->member)
#define INTEGER(member, initial, range, help) { #member, SP_SETTING_INTEGER, AT(member), initial, range, "", help }
#define UNSIGNED(member, initial, range, help) { #member, SP_SETTING_UNSIGNED, AT(member), initial, range, "", help }
#define NUMBER(member, initial, range, help) { #member, SP_SETTING_NUMBER, AT(member), initial, range, "", help }
#define TEXT(member, initial, words, help) { #member, SP_SETTING_TEXT, AT(member), initial, "", words, help }
#define CHOICE(member, initial, words, help) { #member, SP_SETTING_CHOICE, AT(member), initial, "", words, help }

const struct sp_setting_entry sp_settings_table[] = {
	TEXT(
		model.preset, "base", "tiny|mini|small|medium|base|large",
		"Size of the model: layers/hidden are 2/128, 4/256, 4/512, 8/512, 12/768, 24/1024; keys given explicitly win."),
	INTEGER(model.layers, "0", "[0,10000]", "Transformer layers; 0: the preset's."),
	INTEGER(model.hidden, "0", "[0,65536]", "Features of a token; 0: the preset's."),
	INTEGER(model.heads, "0", "[0,65536]", "Attention heads, must divide hidden; 0: hidden / 64."),
	INTEGER(model.intermediate, "0", "[0,1048576]", "Features inside the feed-forward layer; 0: 4 x hidden."),
	INTEGER(
		model.vocab_size, "0", "[0,16777216]",
		"Rows of the word table; 0: as many as the vocabulary has tokens (30528 for synthetic data)."),
	INTEGER(model.max_positions, "512", "[1,1073741824]", "Rows of the position table; the longest sequence possible, or with data.packing the longest sample. Without meaning with rope."),
	CHOICE(model.norm, "post", "post|pre", "LayerNorm after each residual sum (BERT) or before each sublayer."),
	CHOICE(model.activation, "gelu", "gelu|gelu_tanh", "GELU by erf (BERT) or its tanh approximation."),
	NUMBER(model.dropout, "0.1", "[0,1)", "Probability that a hidden value is dropped."),
	NUMBER(model.attention_dropout, "0.1", "[0,1)", "Probability that an attention weight is dropped."),
	NUMBER(model.layer_norm_eps, "1e-12", "(0,1]", "Added to the variance in LayerNorm."),
	CHOICE(model.sentence_order, "false", "false|true",
	       "Train the pooler and a head that tells whether A and B were swapped."),
	CHOICE(model.extend_positions, "no", "no|tile|interpolate",
	       "How the position table of checkpoint.init grows to model.max_positions: repeated, or stretched."),
	INTEGER(model.linformer_k, "256", "[1,1048576]",
	        "With parallel.attention = linformer, rows that keys and values are projected to along the sequence."),
	CHOICE(model.linformer_share, "layer", "head|layer|model",
	       "With parallel.attention = linformer, what has projections of its own: each head, a pair; each layer, a pair; or the "
	       "model, one for keys and values of all layers."),
	INTEGER(model.window, "128", "[1,1073741824]",
	        "With parallel.attention = window, neighbours on each side that a token attends to, beside global tokens."),
	CHOICE(model.global_tokens, "first", "first|separators",
	       "With parallel.attention = window, tokens that attend to all of their sample, and all of it to them: the first of each "
	       "sample, or all [SEP] too."),
	INTEGER(model.globals, "1", "[1,1048576]",
	        "With parallel.attention = window, the most global tokens of a sequence, in the order of their positions; those behind "
	        "are tokens like others. With packing, each sample has a first token."),
	INTEGER(model.global_every, "0", "[0,10000]",
	        "With parallel.attention = window, n: layers 0, n, 2n, ... attend to all tokens, by the ring; 0: none does."),
	CHOICE(model.position, "learned", "learned|rope",
	       "Where a token is in its sample: by a table of learned positions, or by rotating queries and keys (RoPE), which sets no "
	       "limit to lengths."),
	NUMBER(model.rope_base, "10000", "(1,1e12]",
	       "With model.position = rope, the base of the angles: that of column pair j is position x base^(-2 j / head size)."),

	TEXT(data.source, "synthetic", "",
	     "synthetic, the PREFIX of PREFIX.bin and PREFIX.idx, or a blend 0.7:A,0.3:B of prefixes."),
	TEXT(data.vocab, "", "", "The vocabulary file vocab.txt the tokens were made with; not used by synthetic data."),
	TEXT(data.split, "949,50,1", "", "Weights of the training, validation and test documents."),
	NUMBER(data.mask_prob, "0.15", "(0,1)", "Share of the tokens of a sequence that is to be predicted."),
	NUMBER(data.short_seq_prob, "0.1", "[0,1]", "Share of sequences cut at a random shorter length."),
	CHOICE(data.packing, "false", "false|true",
	       "A sequence holds several samples, each of them as it would be alone in one, so that short documents leave no padding. "
	       "They do not see each other, and their positions begin at 0; none is longer than model.max_positions."),

	INTEGER(train.iters, "1000", "[0,1000000000000]", "Steps of the optimizer."),
	INTEGER(train.global_batch, "32", "[1,1048576]", "Sequences per step, over all ranks."),
	INTEGER(train.micro_batch, "8", "[1,1048576]",
	        "Sequences a rank works on at a time; data ranks x micro_batch must divide global_batch."),
	INTEGER(train.sequence_length, "128", "[1,1073741824]", "Tokens of a sequence, at most model.max_positions unless it is packed (data.packing) or model.position = rope."),
	INTEGER(train.eval_interval, "0", "[0,1000000000000]", "Evaluate every so many steps and at the end; 0: never."),
	INTEGER(train.eval_iters, "10", "[1,1000000000]", "Global batches of validation data per evaluation."),
	UNSIGNED(train.seed, "1234", "[0,18446744073709551615]", "Decides initial values, samples, masks and dropout."),
	CHOICE(train.recompute, "none", "none|attention|layer",
	       "What backward computes again instead of keeping it from forward: queries, keys and values; or all of a layer."),
	CHOICE(train.precision, "fp32", "fp32|tf32|bf16|fp16",
	       "fp32: all in single precision. tf32 (GPUs): matrix products with operands rounded to 10 bits behind the point, sums in fp32, all else as "
	       "with fp32. bf16: activations are kept, and layers' products made, in bfloat16; softmax, statistics, accumulators, parameters, their gradients and "
	       "moments stay fp32, and so do the kinds of attention other than full and ring. fp16 (GPUs): the same in float16, with the loss scaled so that small "
	       "gradients are not lost."),
	NUMBER(train.loss_scale, "65536", "[1,16777216]", "With train.precision = fp16, what the loss is multiplied by at first; best a power of two."),
	INTEGER(train.loss_scale_window, "1000", "[0,1000000000]",
	        "Steps with finite gradients after which the scale is doubled. A step whose gradients overflow changes nothing but the scale, which is "
	        "halved. 0: the scale stays, and an overflow is an error."),
	CHOICE(train.last_layer, "read", "read|all",
	       "For which tokens the last layer attends and goes on behind it: those that a head reads, which is less work; or all."),

	NUMBER(optimizer.lr, "1e-4", "[0,1000]", "Learning rate after warm-up."),
	NUMBER(optimizer.min_lr, "1e-5", "[0,1000]",
	       "Learning rate at the end of the decay and after it; at most optimizer.lr."),
	NUMBER(optimizer.warmup_fraction, "0.01", "[0,1]",
	       "Share of decay_iters during which the learning rate rises from 0."),
	INTEGER(optimizer.decay_iters, "0", "[0,1000000000000]", "Steps after which min_lr is reached; 0: train.iters."),
	CHOICE(optimizer.decay_style, "linear", "linear|cosine|constant", "How the learning rate falls after warm-up."),
	NUMBER(optimizer.weight_decay, "0.01", "[0,1]", "Decoupled weight decay, not applied to biases and norms."),
	NUMBER(optimizer.beta1, "0.9", "[0,1)", "Decay of the running mean of gradients."),
	NUMBER(optimizer.beta2, "0.999", "[0,1)", "Decay of the running mean of squared gradients."),
	NUMBER(optimizer.eps, "1e-8", "(0,1]", "Added to the root of the mean squared gradient."),
	NUMBER(optimizer.clip_norm, "1", "[0,1e30]", "Gradients are scaled down to this global norm; 0: not clipped."),

	INTEGER(parallel.sequence, "1", "[1,1048576]", "Ranks that share a sequence; it must divide the number of ranks."),
	INTEGER(parallel.tensor, "1", "[1,65536]",
	        "Ranks that share the weights of each layer; it must divide model.heads and the number of ranks."),
	INTEGER(parallel.pipeline, "1", "[1,65536]",
	        "Stages that share the layers; it must divide the number of ranks and be at most model.layers."),
	INTEGER(parallel.virtual_stages, "1", "[1,1024]",
	        "Runs of layers on each stage; stages x runs must divide model.layers. More runs, shorter waits."),
	TEXT(parallel.attention, "ring", "",
	     "How attention crosses ranks: ring, allgather, ulysses, hybrid or rsa (as published, to compare with); "
	     "full for one rank per sequence; or linformer, another model: to keys and values projected along the sequence to "
	     "model.linformer_k rows, for sequences of one document; or window, another model: to model.window neighbours and global tokens."),
	INTEGER(parallel.gather_chunk, "0", "[0,1000000000000]",
	        "With parallel.attention = allgather, tokens of each rank that are gathered at a time; 0: a whole micro-batch."),
	CHOICE(parallel.ring, "kv", "kv|q",
	       "With parallel.attention = ring or hybrid, what goes round in backward: kv, keys and values and their gradients, or q, "
	       "queries with what they need and their gradients, a quarter less; in forward always keys and values."),
	INTEGER(parallel.ulysses, "0", "[0,1048576]",
	        "With parallel.attention = hybrid, ranks that exchange heads inside of the ring; it must divide parallel.sequence; 0: as "
	        "many as can."),
	CHOICE(parallel.balance, "tokens", "tokens|cost",
	       "Where ranks cut sequences: after as many tokens each; or, in each micro-batch anew, so that the rank with most work has as "
	       "little as can be, which counts with data.packing. With parallel.attention = ring, allgather or full."),
	NUMBER(parallel.balance_slack, "0.25", "[0,1000]",
	       "With parallel.balance = cost, by how much of an equal part a rank may hold more tokens than that: buffers have room for it."),
	NUMBER(parallel.balance_attention, "1.4", "[0.1,100]",
	       "With parallel.balance = cost, how much longer an operation of attention takes than one of the layers' products: seqpar bench "
	       "attention measures shares of the products' rate."),
	CHOICE(parallel.overlap, "true", "false|true",
	       "Transfers run behind compute; false waits for each, to measure what that hides."),
	CHOICE(parallel.optimizer_shard, "true", "false|true",
	       "Ranks with the same parameters share out the optimiser's moments; false: each keeps all of them."),

	TEXT(backend.device, "auto", "", "Compute module: auto, or one that seqpar info lists, such as cpu."),
	TEXT(backend.comm, "auto", "", "Communication module: auto, self (one rank), mpi, or nccl, which passes what is in the memory of GPUs, "
	     "one for each rank, and leaves the rest to mpi. auto: nccl where that can be."),
	CHOICE(backend.attention_kernel, "auto", "auto|flash|cudnn",
	       "What computes attention on GPUs. flash: own kernels, whose results repeat bit for bit. cudnn: NVIDIA's cuDNN, in steps between tokens that "
	       "are all of one document, without padding; own kernels the others. It wants train.precision = bf16 or fp16, parallel.attention = full, or ring with "
	       "parallel.ring = kv, model.attention_dropout = 0, no packing, equal shares. auto: cuDNN for steps that it can do, where it is there, from compute "
	       "capability 9.0 on."),
	CHOICE(backend.graph, "auto", "auto|on|off",
	       "Layers as CUDA graphs, each one call for the host in place of dozens, once they recur: where no message is passed inside "
	       "of a layer: parallel.sequence = 1, parallel.tensor = 1, parallel.attention = ring or full; nor with parallel.balance = cost. The last layer is not "
	       "among them with train.last_layer = read, and none is while operations are timed (log.shares). on: an error where that cannot be; auto: then each operation is queued by itself."),
	CHOICE(backend.products, "auto", "auto|blas|onednn",
	       "What makes matrix products on backend.device = cpu: the BLAS, or oneDNN if it is built in. auto: the BLAS; with train.precision = "
	       "bf16, oneDNN on processors with AVX512_BF16 or AMX, but for small products, unless a rank's has neither: then the BLAS on all ranks."),
	INTEGER(backend.threads, "0", "[0,65536]",
	        "Threads per rank; 0: the cores it may use, shared among the ranks of the machine."),
	INTEGER(backend.timeout, "600", "[0,1000000000]",
	        "Seconds that a rank may wait for others in one operation before it ends the job; 0: for ever."),

	TEXT(checkpoint.dir, "", "",
	     "Directory for checkpoints, on a file system that all ranks share; empty: none are written."),
	INTEGER(checkpoint.interval, "0", "[0,1000000000000]",
	        "Steps between checkpoints; 0: only at the end and when stopped."),
	INTEGER(checkpoint.keep, "3", "[1,1000000]", "How many checkpoints stay; older ones are removed."),
	TEXT(checkpoint.resume, "auto", "",
	     "auto: go on from the newest complete checkpoint in checkpoint.dir, if any; none; or a checkpoint's directory."),
	TEXT(checkpoint.init, "", "",
	     "Model directory in Hugging Face's layout whose weights training starts from; empty: random ones."),

	INTEGER(log.interval, "10", "[1,1000000000000]", "Steps between lines on standard output."),
	TEXT(log.metrics, "", "", "File for metrics, one JSON object per line; empty: none."),
	TEXT(log.trace, "", "", "File for a Chrome trace of all ranks, written at the end; empty: none."),
	CHOICE(log.shares, "false", "false|true",
	       "Time each operation of the device, queued by itself (backend.graph), and tell in metrics and at the end what products, attention, element-wise operations, the "
	       "optimizer, copies and waiting for messages take of a step, and what is left."),
	{ .name = NULL },
};

int sp_settings_which(const char *words, const char *text)
{
	size_t n = strlen(text);
	for (int i = 0; *words; i++) {
		size_t length = strcspn(words, "|");
		if (n == length && n > 0 && memcmp(words, text, n) == 0)
			return i;
		words += length + (words[length] == '|');
	}
	return -1;
}
