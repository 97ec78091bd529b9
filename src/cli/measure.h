/* What the machine can do at best. May include: seqpar, backend, settings. */
#ifndef SP_CLI_MEASURE_H
#define SP_CLI_MEASURE_H

struct sp_comm;
struct sp_compute;
struct sp_settings;

/* Measures GEMM at the shapes of BERT-base, in the settings' train.precision, memory and, between ranks, messages round the
 * ring; all ranks at once. The first rank prints. Collective. */
int sp_cli_measure(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *comm);

#endif
