#include "config.h"

#include "plan/batch_layout.h"

#include "base/size.h"

static int64_t section(int64_t *end, int64_t count)
{
	int64_t at = *end;
	*end = sp_round_up(at + count, 16);
	return at;
}

struct sp_batch_layout sp_batch_layout_of(int64_t batch, int64_t chunk, int ranks, int64_t orders, int64_t globals)
{
	int64_t rows = batch * chunk, end = 0;
	struct sp_batch_layout at;
	at.token = section(&end, rows);
	at.position = section(&end, rows);
	at.kind = section(&end, rows);
	at.doc = section(&end, rows * ranks);
	at.read_doc = section(&end, rows);
	at.predicted = section(&end, rows);
	at.label = section(&end, rows);
	at.order_row = section(&end, orders);
	at.order_label = section(&end, orders);
	at.sample = section(&end, batch);
	at.head_sample = section(&end, batch);
	at.length = section(&end, batch);
	at.global_doc = section(&end, batch * globals);
	at.other_doc = section(&end, globals ? rows * ranks : 0);
	at.read_other_doc = section(&end, globals ? rows : 0);
	at.global_row = section(&end, batch * globals);
	at.global_slot = section(&end, batch * globals);
	at.size = end;
	return at;
}
