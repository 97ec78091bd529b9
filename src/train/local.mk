libseqpar_la_SOURCES += src/train/flops.c src/train/flops.h src/train/metrics.c src/train/metrics.h src/train/optimizer.c \
	src/train/optimizer.h src/train/rate.c src/train/rate.h src/train/schedule.c src/train/schedule.h \
	src/train/trace_file.c src/train/trace_file.h
