#!/bin/sh
# Each room includes only rooms below it, and library headers stay in the room they belong to.
# room DIRECTORY "ROOMS" "HEADERS": the first directories of its quoted includes, and its library headers.
cd "${srcdir:-.}" || exit 1
libraries='mpi|cblas|omp|ini|jansson|utf8proc|zlib|hwloc|cuda[a-zA-Z_]*|cublas[a-zA-Z_]*|cudnn|nccl|dnnl[a-z_]*|cmocka'
failed=0

includes() { # DIRECTORY PATTERN
	grep -rhoE --include='*.[ch]' --include='*.cu' --include='*.cuh' --include='*.[ch]pp' "^ *# *include +$2" "$1" | sed 's/.*["<]\(.*\)[">]/\1/' | sort -u
}

room() {
	test -d "$1" || { echo "$1: no such room"; failed=1; return; }
	for header in $(includes "$1" '"[^"]+"'); do
		case " config.h $2 " in
		*" $header "* | *" ${header%%/*} "*) ;;
		*) echo "$1 includes \"$header\": not a room below it"; failed=1 ;;
		esac
	done
	for header in $(includes "$1" "<($libraries)\.h>"); do
		case " $3 " in
		*" $header "*) ;;
		*) echo "$1 includes <$header>: not its library"; failed=1 ;;
		esac
	done
}

everything="cli bench use train checkpoint plan model parallel attention layers backend data settings base"

room include/seqpar "" ""
room src/base "base" ""
room src/settings "settings base" "ini.h"
room src/backend "backend base" ""
room src/layers "layers backend base" ""
room src/attention "attention layers backend base" ""
room src/parallel "parallel backend base" ""
room src/model "model parallel attention layers backend base" ""
room src/data "data base" "utf8proc.h zlib.h"
room src/checkpoint "checkpoint model data backend base" "jansson.h zlib.h"
room src/plan "plan model parallel attention layers backend base" ""
room src/train "train checkpoint plan model parallel attention layers backend data settings base" "jansson.h"
room src/use "use train checkpoint plan model parallel attention backend data settings base" ""
room src/bench "bench train checkpoint plan model parallel attention layers backend data settings base commit.h" "jansson.h"
room src/cli "$everything" "jansson.h hwloc.h"
room backends/self "backend base" ""
room backends/cpu "cpu backend base" "cblas.h omp.h hwloc.h dnnl.h dnnl_debug.h dnnl_version.h"
room backends/mpi "mpi backend base" "mpi.h"
room backends/cuda "cuda backend base" "cuda_runtime.h cuda_runtime_api.h cublasLt.h cudnn.h"
room backends/nccl "nccl backend base" "nccl.h cuda_runtime_api.h"
room tests "$everything cpu cuda cudasim nccl ncclsim support.h unit ranks reference conformance golden fuzz" "cmocka.h jansson.h zlib.h cblas.h omp.h mpi.h nccl.h"
room benchmarks "$everything reference" ""

for directory in src/* backends/*; do
	test ! -d "$directory" || grep -q "^room $directory " tests/check_rooms.sh && continue
	echo "$directory has no rule"
	failed=1
done
exit $failed
