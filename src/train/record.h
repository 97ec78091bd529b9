/* trainer.json, what a checkpoint says about the run that wrote it. May include: base, settings, parallel, checkpoint,
 * jansson. */
#ifndef SP_TRAIN_RECORD_H
#define SP_TRAIN_RECORD_H

#include "parallel/grid.h"
#include "settings/settings.h"

#include <jansson.h>

struct sp_record {
	int64_t step;       /* steps done; the learning rate and the samples of the next follow from it */
	double tokens;      /* real tokens trained on since the beginning */
	double loss_scale;  /* of the next step; 1 but in fp16 */
	int64_t loss_scale_steps; /* since it changed */
	int64_t taken;      /* steps whose gradients were finite */
	int64_t vocab_size; /* rows of the word table */
	struct sp_grid_point grid;
	json_t *settings;   /* {"section": {"key": value}}; NULL when forming a record */
};

/* The file's text, the caller's to free. SP_ERR_MEMORY, logged. */
int sp_record_text(const struct sp_record *record, const struct sp_settings *settings, char **text);

/* Reads DIR/trainer.json. Release with sp_record_release. SP_ERR_IO, SP_ERR_FORMAT (also if a later version has written it),
 * logged. */
int sp_record_read(const char *dir, struct sp_record *record);
void sp_record_release(struct sp_record *record); /* zeroed is fine */

/* How much a setting that differs matters. */
enum sp_difference {
	SP_DIFFERENCE_NONE = 0, /* names of files and the like: not worth a word */
	SP_DIFFERENCE_NOTED,    /* may change when training goes on */
	SP_DIFFERENCE_LOUD,     /* other samples than those an undisturbed run would see */
	SP_DIFFERENCE_FATAL,    /* another model */
};

/* Calls `tell` for each setting that has another value now than in the record, in the order of the table. Returns the worst
 * difference. */
enum sp_difference sp_record_compare(const struct sp_record *record, const struct sp_settings *now,
                                     void (*tell)(void *ctx, enum sp_difference how, const char *name,
                                                  const char *then, const char *now),
                                     void *ctx);

#endif
