/* What the machine can do at best. May include: seqpar, backend. */
#ifndef SP_CLI_MEASURE_H
#define SP_CLI_MEASURE_H

struct sp_comm;
struct sp_compute;

/* Measures GEMM at the shapes of BERT-base, memory and, between ranks, messages round the ring; all ranks at once. The
 * first rank prints. Collective. */
int sp_cli_measure(struct sp_compute *compute, struct sp_comm *comm);

#endif
