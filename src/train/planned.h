/* From settings to a plan: what training them would need of each rank. May include: settings, data, plan, train. */
#ifndef SP_TRAIN_PLANNED_H
#define SP_TRAIN_PLANNED_H

#include "plan/plan.h"
#include "settings/settings.h"

/* What the settings say to parallel.attention. */
struct sp_attention_choice sp_planned_choice(const struct sp_settings *settings);

/* What activations are kept in. */
enum sp_dtype sp_planned_element(const struct sp_settings *settings);

/* By how much of an equal share a rank may hold more tokens of a sequence: 0 if all hold as many. */
double sp_planned_slack(const struct sp_settings *settings);
/* SP_ERR_SETTING, logged, if a kind of attention cannot do with the shares that the settings want. */
int sp_planned_shares(const struct sp_settings *settings, const struct sp_attention_variant *attention);

/* The model that the settings describe; vocab_size is 0 where it is left to the data. */
struct sp_model_config sp_planned_config(const struct sp_settings *settings);

/* Rows of the word table for synthetic data. */
int64_t sp_planned_synthetic_vocab_size(void);

/* Training of finished settings on `ranks` ranks, with a backend that rounds tokens per rank up to `multiple`: what to plan.
 * Reads the vocabulary if the model's size depends on it; starts no ranks and opens no device. SP_ERR_SETTING, logged, if
 * the ranks or the batch cannot be divided so. */
int sp_planned_input(const struct sp_settings *settings, int ranks, int64_t multiple, struct sp_plan_input *input);

/* The plan of the ranks that need most. Errors as above. */
int sp_planned(const struct sp_settings *settings, int ranks, int64_t multiple, struct sp_plan *plan);

#endif
