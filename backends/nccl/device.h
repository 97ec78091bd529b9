/* Streams and events of the device, as far as transfers need them. Streams and events are CUDA's behind plain pointers.
 * May include: base. */
#ifndef SP_NCCL_DEVICE_H
#define SP_NCCL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

enum { SP_NCCL_GPU_ID = 16 };

/* The name of the library that dlopen() is asked for. */
const char *sp_nccl_device_library(void);
/* What no other GPU has, of the one that this thread uses. */
int sp_nccl_device_id(unsigned char id[SP_NCCL_GPU_ID]);

/* A stream beside the queue of computing; goes first where both have work. */
int sp_nccl_stream_create(void *queue, void **stream);
void sp_nccl_stream_destroy(void *stream); /* NULL accepted */
/* What comes on `stream` after this comes after what was recorded last. */
int sp_nccl_stream_wait(void *stream, void *event);
int sp_nccl_copy(void *to, const void *from, size_t bytes, void *stream);

/* timed: with a time, for sp_nccl_event_seconds. */
int sp_nccl_event_create(int timed, void **event);
void sp_nccl_event_destroy(void *event); /* NULL accepted */
int sp_nccl_event_record(void *event, void *stream);
/* *done: what was on the stream before the recording is finished. */
int sp_nccl_event_done(void *event, int *done);
/* Between two that are done. */
double sp_nccl_event_seconds(void *from, void *to);

#endif
