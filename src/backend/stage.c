#include "config.h"

#include "backend/stage.h"

#include "base/log.h"
#include "base/size.h"

#include <string.h>

enum { ALIGN = 64 };

int sp_stage_needed(struct sp_compute *compute)
{
	return compute && !sp_compute_is_host_memory(compute);
}

static int take(struct sp_compute *compute, size_t bytes, struct sp_staged *staged)
{
	memset(staged, 0, sizeof *staged);
	return sp_compute_buffer_take(compute, bytes, &staged->host);
}

int sp_stage_exchange(struct sp_compute *compute, struct sp_exchange *args, struct sp_staged *staged)
{
	const size_t before = (size_t)sp_round_up((int64_t)args->send_bytes, ALIGN);
	int status = take(compute, before + args->receive_bytes, staged);
	if (status)
		return status;
	status = sp_compute_copy_out(compute, staged->host, args->send, args->send_bytes);
	if (status)
		return sp_stage_finish(compute, status, staged);
	staged->arrived = (char *)staged->host + before;
	staged->device = args->receive;
	staged->bytes = args->receive_bytes;
	args->send = staged->host;
	args->receive = staged->arrived;
	return SP_OK;
}

int sp_stage_collective(struct sp_compute *compute, void **data, struct sp_stage_range range, struct sp_staged *staged)
{
	int status = take(compute, range.bytes, staged);
	if (status)
		return status;
	status = sp_compute_copy_out(compute, (char *)staged->host + range.sent, (char *)*data + range.sent, range.sent_bytes);
	if (status)
		return sp_stage_finish(compute, status, staged);
	staged->arrived = (char *)staged->host + range.arriving;
	staged->device = (char *)*data + range.arriving;
	staged->bytes = range.arriving_bytes;
	*data = staged->host;
	return SP_OK;
}

int sp_stage_finish(struct sp_compute *compute, int status, struct sp_staged *staged)
{
	if (!staged->host)
		return status;
	if (status == SP_OK)
		status = sp_compute_copy_in(compute, staged->device, staged->arrived, staged->bytes);
	sp_compute_buffer_give(compute, staged->host);
	memset(staged, 0, sizeof *staged);
	return status;
}
