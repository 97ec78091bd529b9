#!/bin/sh
# seqpar check notices when each rank divides its loss by its own number of predicted tokens, not by that of all ranks.
. "$srcdir/tests/mutations/run.sh"
mutation src/train/batch.c \
	's/work->predicted += b->whole.label\[t\] >= 0;/work->predicted += b->whole.label[t] >= 0 \&\&\
		t >= b->options.shard.first \&\& t < b->options.shard.first + b->options.shard.real;/
	s/if (b->options.grid->sequence_rank != 0)$/if (0)/
	s/status = sp_comm_all_reduce(b->options.grid->world, sums, .*/status = SP_OK;/' \
	ranks 2 "$SEQPAR" check -c "$srcdir/configs/tutorial.ini"
