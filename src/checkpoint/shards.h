/* The safetensors files of a model directory: model.safetensors, or those that model.safetensors.index.json lists. May
 * include: base, checkpoint, jansson. */
#ifndef SP_CHECKPOINT_SHARDS_H
#define SP_CHECKPOINT_SHARDS_H

#include "checkpoint/safetensors.h"

struct sp_shard {
	char *name;
	struct sp_safetensors *file;
};

struct sp_shards {
	struct sp_shard *shard;
	int count;
};

/* Opens and checks all files. With an index, each tensor must be in the file that the index gives for it and in no
 * other, and no file may hold one that the index does not know; files are named without a path. SP_ERR_IO,
 * SP_ERR_FORMAT, SP_ERR_MEMORY, logged. To be closed in any case. */
int sp_shards_open(const char *dir, struct sp_shards *shards);
void sp_shards_close(struct sp_shards *s);

#endif
