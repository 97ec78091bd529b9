/* The JSON files of a model directory: read whole, parsed strictly, printed so that people can read them. May include:
 * base, checkpoint, jansson. */
#ifndef SP_CHECKPOINT_JSON_FILE_H
#define SP_CHECKPOINT_JSON_FILE_H

#include <jansson.h>
#include <stddef.h>

/* A JSON object without duplicate keys from memory; `name` stands for it in messages. SP_ERR_FORMAT, logged with the
 * line. */
int sp_json_parse(const char *name, const char *text, size_t size, json_t **root);
/* The same from DIR/NAME, which has at most `limit` bytes. *path is set in any case, for messages; NULL if there is no
 * memory. The caller's to free. SP_ERR_IO, SP_ERR_FORMAT, SP_ERR_MEMORY, logged. */
int sp_json_file_read(const char *dir, const char *name, size_t limit, char **path, json_t **root);

/* Indented, in the order the keys were set, ended by a newline; 0.1 is written as 0.1. The caller's to free.
 * SP_ERR_MEMORY, logged. `root` may be NULL, which is out of memory too. */
int sp_json_text(const json_t *root, char **text);

#endif
