/* A group: the run of tokens of one document that a sample is made of. May include: base, data/indexed.h. */
#ifndef SP_DATA_GROUP_H
#define SP_DATA_GROUP_H

#include "data/indexed.h"

#include <stdint.h>

struct sp_group_rule {
	int32_t most; /* tokens that fit into a sample beside the special ones */
	int order;    /* samples are pairs: two sentences wanted, two tokens needed */
};

/* A place between two tokens: `offset` tokens of `sentence` come before it. */
struct sp_cursor {
	int64_t sentence;
	int32_t offset;
};

struct sp_group {
	struct sp_cursor begin, end; /* begin: before its first token, past anything empty */
	int64_t tokens; /* may exceed the target by a sentence or two; what exceeds is cut away when the sample is made */
	int64_t parts;  /* sentences, or pieces of them, that are not empty */
	int32_t target;
};

/* Gathers sentences from `begin` on until they hold `target` tokens (1 <= target <= rule->most) or the document ends
 * before sentence document_end. With rule->order a group has at least two sentences where there are two, and a last
 * sentence that would be left alone goes with the ones before it. A sentence longer than rule->most is cut at the
 * target, so that nothing of it is lost: the next group begins where it was cut. tokens 0: nothing is left. */
struct sp_group sp_group_gather(const struct sp_indexed *x, const struct sp_group_rule *rule, int64_t document_end,
	struct sp_cursor begin, int32_t target);

/* Tokens before the boundary that follows the part-th part; 1 <= part <= parts. */
int64_t sp_group_boundary(const struct sp_indexed *x, const struct sp_group *group, int64_t part);

/* Copies tokens from .. to - 1 of the group. */
void sp_group_read(const struct sp_indexed *x, const struct sp_group *group, int64_t from, int64_t to, int32_t *token);

#endif
