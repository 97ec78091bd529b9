libseqpar_la_SOURCES += src/plan/batch_layout.c src/plan/batch_layout.h src/plan/plan.c src/plan/plan.h
