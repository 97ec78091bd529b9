EXTRA_DIST +=
dist_man_MANS += doc/seqpar-settings.5
dist_doc_DATA += doc/design.md doc/formats.md
dist_man_MANS += doc/seqpar-train.1 doc/seqpar-check.1
dist_man_MANS += doc/seqpar-convert.1 doc/seqpar-plan.1
dist_man_MANS += doc/seqpar.1 doc/seqpar-launch.1 doc/seqpar-info.1
dist_man_MANS += doc/seqpar-tokenize.1 doc/seqpar-vocab.1
dist_doc_DATA += doc/performance.md doc/gpu.md
