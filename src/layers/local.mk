libseqpar_la_SOURCES += src/layers/embedding.c src/layers/embedding.h src/layers/layer.c src/layers/layer.h \
	src/layers/linear.c src/layers/linear.h src/layers/mlm_head.c src/layers/mlm_head.h src/layers/mlp.c src/layers/mlp.h \
	src/layers/norm.c src/layers/norm.h src/layers/order_head.c src/layers/order_head.h
