/* Documents of a corpus divided between training, validation and test. May include: base. */
#ifndef SP_DATA_SPLIT_H
#define SP_DATA_SPLIT_H

#include "data/dataset.h"

#include <stdint.h>

/* "train", "valid", "test". */
const char *sp_split_name(enum sp_split split);

/* "949,50,1": up to three weights, 0 or more, not all 0; those left out are 0. SP_ERR_SETTING, logged with the place.
 * */
int sp_split_parse(const char *text, double weight[SP_SPLITS]);

/* Split s gets the documents bound[s] .. bound[s + 1] - 1: shares in proportion to the weights, rounded, but at least
 * one document wherever there is weight and none where there is none. SP_ERR_SETTING if there are fewer documents
 * than splits with weight; `name` is the corpus in the message. */
int sp_split_bounds(const double weight[SP_SPLITS], int64_t documents, const char *name, int64_t bound[SP_SPLITS + 1]);

#endif
