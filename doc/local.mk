EXTRA_DIST +=
dist_man_MANS += doc/seqpar-settings.5
dist_doc_DATA += doc/design.md doc/formats.md
