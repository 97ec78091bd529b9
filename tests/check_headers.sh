#!/bin/sh
# Each header says what it needs itself: a public one compiles alone as strict C11 and as C++, a private one as our C.
CC=${CC:-cc}
CXX=${CXX:-c++}
top=${srcdir:-.}
failed=0

compiles() { # HEADER COMMAND...
	header=$1
	shift
	printf '#include "%s"\nint sp_nothing;\n' "$header" | "$@" -Wall -Wextra -Werror -fsyntax-only - && return
	echo "$header does not compile alone: $*"
	failed=1
}

command -v "$CXX" >/dev/null || { echo "no C++ compiler ($CXX): headers are held against C only"; CXX=; }
for header in "$top"/include/seqpar/*.h; do
	compiles "seqpar/${header##*/}" $CC -x c -std=c11 -pedantic -I"$top/include"
	test -z "$CXX" || compiles "seqpar/${header##*/}" $CXX -x c++ -pedantic -I"$top/include"
done
printf '#include <nccl.h>\n' | $CC $CPPFLAGS -x c -E - >/dev/null 2>&1 && nccl=yes || nccl=
printf '#include <dnnl.h>\n' | $CC $CPPFLAGS -x c -E - >/dev/null 2>&1 && dnnl=yes || dnnl=
printf '#include <cudnn.h>\n' | $CC $CPPFLAGS -x c -E - >/dev/null 2>&1 && cudnn=yes || cudnn=
for header in $(cd "$top" && find src backends tests -name '*.h'); do
	case $header in
	backends/nccl/l*) test -n "$nccl" || continue ;;
	backends/cpu/onednn_versions.h) test -n "$dnnl" || continue ;;
	backends/cuda/cudnn_*) test -n "$cudnn" || continue ;;
	esac
	case $header in
	tests/*) at=${header#tests/} ;;
	*) at=${header#*/} ;;
	esac
	# Kernel headers hold "omp simd", which only the kernels' own flags turn on.
	compiles "$at" $CC -x c -std=gnu11 -Wno-unknown-pragmas -I. -I"$top/include" -I"$top/src" -I"$top/backends" \
		-I"$top/tests" $CPPFLAGS
done
exit $failed
