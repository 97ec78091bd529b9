/* The directory that checkpoints are kept in: names, the newest first, publishing a new one, removing old ones. May
 * include: base, checkpoint.
 *
 *   step-00001000           a checkpoint: a directory with the files below; it has this name only when it is complete
 *   step-00001000.part      one being written; step-00001000.gone: one being removed. Left by a run that was killed,
 *                           they are swept away by the next
 *   step-00001000.damaged   one that was found damaged when its step was reached again; kept
 *   latest                  the name of the newest and a newline
 *
 * Nothing is removed but checkpoints and temporary names of this form, with the files of a checkpoint in them and no
 * others. No function here logs, reasons are put into `why`; none communicates. */
#ifndef SP_CHECKPOINT_DIRECTORY_H
#define SP_CHECKPOINT_DIRECTORY_H

#include "checkpoint/manifest.h"

#include <stddef.h>
#include <stdint.h>

#define SP_CHECKPOINT_MODEL "model.safetensors"
#define SP_CHECKPOINT_OPTIMIZER "optimizer.safetensors"
#define SP_CHECKPOINT_CONFIG "config.json"
#define SP_CHECKPOINT_VOCAB "vocab.txt"
#define SP_CHECKPOINT_TOKENIZER "tokenizer_config.json"
#define SP_CHECKPOINT_SPECIAL "special_tokens_map.json"
#define SP_CHECKPOINT_RECORD "trainer.json"

enum { SP_CHECKPOINT_NAME = 48 };

/* "step-00001000" */
void sp_checkpoint_name(int64_t step, char name[SP_CHECKPOINT_NAME]);
/* The step of such a name, or -1. */
int64_t sp_checkpoint_step(const char *name);

struct sp_checkpoint_list {
	int64_t *step; /* descending */
	int count;
};

/* All directories in DIR with the name of a checkpoint. Free list->step. SP_ERR_IO, SP_ERR_MEMORY. */
int sp_checkpoint_list(const char *dir, struct sp_checkpoint_list *list, char *why, size_t size);

/* Makes DIR with its parents if it is not there, finds out whether it can be written to, and claims it for this process:
 * *claim is to be closed at the end, and with the process it is given back in any case. Waits some seconds for another process
 * that is about to end. Then sweeps. File systems that know no locks are used without. SP_ERR_IO. */
int sp_checkpoint_claim(const char *dir, int *claim, char *why, size_t size);

/* Where the checkpoint of `step` is written to: DIR/step-00001000.part. */
void sp_checkpoint_part(const char *dir, int64_t step, char *path, size_t size);
/* Makes that directory; it may be there. Any process of a run may be the first. SP_ERR_IO. */
int sp_checkpoint_begin(const char *dir, int64_t step, char *why, size_t size);
/* A small file in there, entered in the manifest. SP_ERR_IO. */
int sp_checkpoint_put(const char *dir, int64_t step, const char *name, const void *bytes, size_t count,
                      struct sp_manifest *manifest, char *why, size_t size);
/* Writes the manifest, gives the directory its name, updates `latest`, and removes the oldest whole checkpoints until
 * `keep` are left. SP_OK with words in `why` ("" otherwise): it is published, but something after that went wrong.
 * SP_ERR_IO: it is not. */
int sp_checkpoint_publish(const char *dir, int64_t step, const struct sp_manifest *manifest, int64_t keep, char *why,
                          size_t size);
/* Removes what was written of it. */
void sp_checkpoint_discard(const char *dir, int64_t step);

#endif
