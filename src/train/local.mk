libseqpar_la_SOURCES += src/train/adopt.c src/train/adopt.h src/train/batch.c src/train/batch.h src/train/draw.c src/train/draw.h src/train/evaluate.c src/train/evaluate.h src/train/exposed.c src/train/exposed.h src/train/flops.c src/train/flow.c src/train/flow.h \
	src/train/flops.h src/train/metrics.c src/train/metrics.h src/train/optimizer.c src/train/optimizer.h \
	src/train/planned.c src/train/planned.h src/train/rate.c src/train/rate.h src/train/report.c src/train/report.h \
	src/train/schedule.c src/train/schedule.h src/train/selfcheck.c src/train/selfcheck.h src/train/setup.c \
	src/train/setup.h src/train/spent.c src/train/spent.h src/train/trace_file.c src/train/trace_file.h src/train/trainer.c src/train/trainer.h
libseqpar_la_SOURCES += src/train/record.c src/train/record.h src/train/resume.c src/train/resume.h src/train/save.c \
	src/train/save.h src/train/share.c src/train/share.h src/train/store.c src/train/store.h
