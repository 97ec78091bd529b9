EXTRA_DIST +=
dist_man_MANS += doc/seqpar-settings.5
