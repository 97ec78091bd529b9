/* How long the operations of a device took, each counted for one class. May include: libc, backend/compute.h. */
#ifndef SP_BACKEND_SHARES_H
#define SP_BACKEND_SHARES_H

#include "backend/compute.h"

struct sp_shares;

/* Borrows the device's table and context. SP_ERR_MEMORY, logged. */
int sp_shares_create(const struct sp_compute_ops *ops, void *ctx, struct sp_shares **shares);
void sp_shares_destroy(struct sp_shares *shares); /* NULL accepted */

/* Around one operation; they do not nest. What goes wrong is logged and returned by sp_shares_take. */
void sp_shares_begin(struct sp_shares *shares, enum sp_class which);
void sp_shares_end(struct sp_shares *shares);

/* Seconds of each class since the last call; the device must have been waited for. */
int sp_shares_take(struct sp_shares *shares, double seconds[SP_CLASSES]);

#endif
