EXTRA_DIST += scripts/setup scripts/quickstart scripts/test configs/quickstart.ini
