seqpar_SOURCES += src/cli/command.h src/cli/end.c src/cli/grid.c src/cli/grid.h src/cli/info.c src/cli/launch.c \
	src/cli/machine.c src/cli/machine.h src/cli/main.c src/cli/measure.c src/cli/measure.h
seqpar_SOURCES += src/cli/convert.c src/cli/flags.c src/cli/flags.h src/cli/peers.c src/cli/peers.h src/cli/stop.c src/cli/stop.h \
	src/cli/tokenize.c src/cli/vocab.c src/cli/watch.c src/cli/watch.h
seqpar_SOURCES += src/cli/check.c src/cli/options.c src/cli/options.h src/cli/plan.c src/cli/train.c
seqpar_SOURCES += src/cli/amount.c src/cli/amount.h src/cli/plan_paper.c src/cli/plan_paper.h src/cli/plan_table.c \
	src/cli/plan_table.h
seqpar_SOURCES += src/cli/plan_json.c src/cli/plan_json.h src/cli/plan_time.c src/cli/plan_time.h
seqpar_SOURCES += src/cli/attend.c src/cli/attend.h
seqpar_SOURCES += src/cli/embed.c src/cli/eval.c src/cli/fill_mask.c src/cli/using.c src/cli/using.h
seqpar_SOURCES += src/cli/bench.c
