EXTRA_DIST += scripts/gpu-aims scripts/gpu-bundle scripts/gpu-check scripts/setup scripts/quickstart scripts/test configs/quickstart.ini
