#include "config.h"

#include "checkpoint/shards.h"

#include "base/log.h"
#include "checkpoint/json_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"

enum {
	INDEX_MOST = 16 << 20, /* bytes */
	SHARDS_MOST = 512,     /* all are open at the same time */
};

static int exists(const char *dir, const char *name)
{
	char *path;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return 0;
	const int found = access(path, F_OK) == 0;
	free(path);
	return found;
}

/* An index comes from anywhere and must not lead out of its directory. */
static int check_shard_name(const char *index, const char *tensor, const char *name)
{
	const size_t length = name ? strlen(name) : 0;
	if (length > 0 && length <= 255 && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
		return SP_OK;
	return sp_fail(SP_ERR_FORMAT, "%s: tensor '%.100s': '%.100s' is not the plain name of a file", index, tensor,
	               name ? name : "(no text)");
}

static struct sp_safetensors *find_shard(const struct sp_shards *s, const char *name)
{
	for (int i = 0; i < s->count; i++)
		if (strcmp(s->shard[i].name, name) == 0)
			return s->shard[i].file;
	return NULL;
}

static int add_shard(struct sp_shards *s, const char *dir, const char *name)
{
	struct sp_shard shard = { .name = strdup(name) };
	char *path = NULL;
	if (!shard.name || asprintf(&path, "%s/%s", dir, name) < 0) {
		free(shard.name);
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to read %s", dir, name);
	}
	const int status = sp_safetensors_open(path, &shard.file);
	free(path);
	if (status)
		free(shard.name);
	else
		s->shard[s->count++] = shard;
	return status;
}

static int open_listed(struct sp_shards *s, const char *dir, const char *index, const json_t *map)
{
	const char *tensor;
	json_t *value;
	json_object_foreach((json_t *)map, tensor, value) {
		const char *name = json_string_value(value);
		int status = check_shard_name(index, tensor, name);
		if (status == SP_OK && !find_shard(s, name))
			status = s->count < SHARDS_MOST ? add_shard(s, dir, name) :
			                                  sp_fail(SP_ERR_FORMAT, "%s: more than %d files", index, SHARDS_MOST);
		if (status)
			return status;
		if (!sp_safetensors_find(find_shard(s, name), tensor))
			return sp_fail(SP_ERR_FORMAT, "%s: tensor '%.100s' is not in %s/%s: the files are not of one model", index, tensor,
			               dir, name);
	}
	return SP_OK;
}

static int check_unlisted(const struct sp_shards *s, const char *dir, const char *index, const json_t *map)
{
	for (int f = 0; f < s->count; f++)
		for (int i = 0; i < sp_safetensors_count(s->shard[f].file); i++) {
			const char *tensor = sp_safetensors_at(s->shard[f].file, i)->name;
			const char *name = json_string_value(json_object_get(map, tensor));
			if (!name || strcmp(name, s->shard[f].name) != 0)
				return sp_fail(SP_ERR_FORMAT, "%s/%s: tensor '%s' is there, but %s says %s: the files are not of one model", dir,
				               s->shard[f].name, tensor, index, name ? "it is in another file" : "nothing of it");
		}
	return SP_OK;
}

static int open_index(struct sp_shards *s, const char *dir)
{
	char *path;
	json_t *root = NULL;
	int status = sp_json_file_read(dir, INDEX, INDEX_MOST, &path, &root);
	const json_t *map = json_object_get(root, "weight_map");
	if (status == SP_OK && json_object_size(map) == 0)
		status = sp_fail(SP_ERR_FORMAT, "%s: no weight_map that says which file holds which tensor", path);
	if (status == SP_OK)
		status = open_listed(s, dir, path, map);
	if (status == SP_OK)
		status = check_unlisted(s, dir, path, map);
	json_decref(root);
	free(path);
	return status;
}

int sp_shards_open(const char *dir, struct sp_shards *shards)
{
	*shards = (struct sp_shards){ .shard = calloc(SHARDS_MOST, sizeof *shards->shard) };
	if (!shards->shard)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to read it", dir);
	if (exists(dir, SINGLE))
		return add_shard(shards, dir, SINGLE);
	if (exists(dir, INDEX))
		return open_index(shards, dir);
	if (exists(dir, "pytorch_model.bin"))
		return sp_fail(SP_ERR_IO,
		               "%s: there is only a pytorch_model.bin, which may run programs when it is read; save the model as "
		               SINGLE " (in Python: save_pretrained)", dir);
	return sp_fail(SP_ERR_IO, "%s: neither " SINGLE " nor " INDEX " is there: not a model's directory", dir);
}

void sp_shards_close(struct sp_shards *s)
{
	for (int i = 0; i < s->count; i++) {
		sp_safetensors_close(s->shard[i].file);
		free(s->shard[i].name);
	}
	free(s->shard);
	*s = (struct sp_shards){ 0 };
}
