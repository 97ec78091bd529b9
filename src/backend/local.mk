libseqpar_la_SOURCES += src/backend/arena.c src/backend/arena.h src/backend/buffers.c src/backend/buffers.h \
	src/backend/comm.c src/backend/comm.h src/backend/comm_bind.c src/backend/comm_inside.h src/backend/comm_transfers.c \
	src/backend/comm_window.c \
	src/backend/compute.c src/backend/compute.h src/backend/compute_attention.c src/backend/compute_heads.c \
	src/backend/compute_inside.h src/backend/compute_layers.c src/backend/graphs.c src/backend/graphs.h src/backend/launcher.c src/backend/launcher.h src/backend/link.c src/backend/link.h \
	src/backend/module.c src/backend/module.h src/backend/operands.c src/backend/operands.h src/backend/shares.c src/backend/shares.h src/backend/stage.c src/backend/stage.h \
	src/backend/tensor.c src/backend/waiting.c src/backend/waiting.h
