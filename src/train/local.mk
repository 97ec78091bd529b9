libseqpar_la_SOURCES +=
