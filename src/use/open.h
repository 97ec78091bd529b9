/* A model directory opened to be used. May include: settings, backend, data, checkpoint, train, use/use.h. */
#ifndef SP_USE_OPEN_H
#define SP_USE_OPEN_H

#include "use/use.h"

/* The model in the directory settings->checkpoint.init, whose shape the settings have adopted (train/adopt.h). With
 * `head`, it must hold a masked-language-model head. Collective over `world`; all ranks return the same status. */
int sp_use_open(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *world, int head,
                struct sp_use *use);

/* Whether the directory settings->checkpoint.init holds a masked-language-model head and, if `order`, a sentence-order
 * head: SP_OK, or SP_ERR_FORMAT, logged, on all ranks. Collective over `world`. */
int sp_use_check_heads(const struct sp_settings *settings, struct sp_comm *world, int order);

#endif
