/* A model that exists decides its own shape, and may bring its weights. May include: settings, backend, model,
 * checkpoint. */
#ifndef SP_TRAIN_ADOPT_H
#define SP_TRAIN_ADOPT_H

#include "backend/comm.h"
#include "checkpoint/weights.h"
#include "model/model.h"
#include "settings/settings.h"

/* Sets every model.* setting that was not given to what DIR/config.json says, and data.vocab, where text needs one, to
 * DIR/vocab.txt; train.sequence_length, if not given, becomes no longer than the model's positions. To be called before
 * sp_settings_finish. SP_ERR_SETTING, logged with key and both values, if a setting that was given contradicts the model;
 * dropout, sentence order and, with model.extend_positions, more positions are free. SP_ERR_IO, SP_ERR_FORMAT. Not
 * collective. */
int sp_adopt_model(struct sp_settings *settings, const char *dir);

/* Loads the weights of checkpoint.init into `model`, of this config; what they lack gets its initial values. Rank 0 reads,
 * all ranks get what they hold. `note` is
 * rank 0's. Collective over `world`; all ranks return the same status. */
int sp_adopt_weights(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *world,
                     const struct sp_model_config *config, struct sp_model *model, struct sp_weights_note *note);

#endif
