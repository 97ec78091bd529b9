#!/bin/sh
# Each rank divides its loss by the number of its own predicted tokens in place of their number over all ranks.
. "$srcdir/tests/mutations/run.sh"
mutation src/train/batch.c \
	's/work->predicted += b->whole.label\[t\] >= 0;/work->predicted += b->whole.label[t] >= 0 \&\&\
		t >= b->options.shard.first \&\& t < b->options.shard.first + b->options.shard.real;/
	s/if (b->options.grid->sequence_rank != 0)$/if (0)/
	s/status = sp_comm_all_reduce(b->options.grid->world, sums, .*/status = SP_OK;/' \
	ranks 2 "$SEQPAR" check -c "$srcdir/configs/tutorial.ini"
