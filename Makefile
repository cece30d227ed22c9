# edgellm. `make help` lists the targets. Needs GNU make; what else is needed, scripts/deps.sh installs.
#
# Objects live in build/<hash of compiler and flags>, so that release, sanitizer and coverage builds stand side by side and
# `make clean` is never needed in between. CFLAGS, CPPFLAGS and LDFLAGS of the user are appended, never overwritten.

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions

VERSION := $(shell awk '/define EL_VERSION_(MAJOR|MINOR|PATCH)/ { v = v s $$3; s = "." } END { print v }' lib/edgellm.h)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))
# A release tarball has no .git: the commit is then unknown, and says so.
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wpointer-arith \
        -Wwrite-strings -Wformat=2
ifdef DEVELOPER
WARN += -Werror
endif
# -ffp-contract=off and -std=c11: a multiply-add is fused only where the source says so, so results do not depend on the compiler.
BASE_CFLAGS := -std=c11 -O2 -g -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno -pthread -fstack-protector-strong $(WARN)
BASE_CPPFLAGS := -D_GNU_SOURCE -Ilib -I. $(if $(findstring -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
BASE_LDFLAGS := -pthread -Wl,-z,relro,-z,now
LIBS := -lcjson -lpcre2-8 -lutf8proc -lcrypto -lm

ALL_FLAGS := $(CC) $(BASE_CFLAGS) $(BASE_CPPFLAGS) $(BASE_LDFLAGS) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS)
B := build/$(shell printf '%s' '$(ALL_FLAGS)' | cksum | cut -d' ' -f1)

LIB_SRC := $(sort $(wildcard lib/base/*.c lib/tensor/*.c lib/kernels/*.c lib/kernels/*/*.c lib/model/*.c lib/text/*.c formats/*.c quant/*.c))
CMD_SRC := $(sort $(wildcard cmd/*.c))
UNIT_SRC := $(sort $(wildcard tests/unit/*.c tests/golden-bad/*.c tests/kernels/*.c tests/models/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
HDR := $(sort $(wildcard lib/*.h lib/*/*.h lib/kernels/*/*.h formats/*.h quant/*.h cmd/*.h tests/*.h))
SCRIPTS := scripts/deps.sh $(wildcard scripts/*.sh scripts/*/*.sh tests/*/*.sh) .ci/run

CMD_TEST_OBJ = $(filter-out %/cmd/edgellm.o,$(CMD_OBJ))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
CMD_OBJ := $(CMD_SRC:%.c=$(B)/%.o)
UNIT_OBJ := $(UNIT_SRC:%.c=$(B)/%.o) $(B)/tests/test.o
PLAIN_OBJ := $(UNIT_SRC:%.c=$(B)/plain/%.o) $(B)/plain/tests/test.o
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(B)/replay_%)
SO := libedgellm.so.$(VERSION)

# Only what a pattern rule would throw away; a blank .SECONDARY would let a missing object pass for an old one.
.SECONDARY: $(FUZZ_SRC:%.c=$(B)/%.o) $(B)/tests/fuzz/replay.o

.PHONY: all demo check check-asan check-tsan arm64 check-arm64 coverage fuzz check-headers check-layers man-lint style results install uninstall \
        help clean deps unit plain replay cli faults example tools check-asan-full binaries print-lib print-plain print-replay plain-and-binaries FORCE
.DELETE_ON_ERROR:

all: edgellm libedgellm.so

# V=1 shows the commands.
ifeq ($(V),)
Q := @
say = @printf '  %-5s %s\n' '$(1)' '$(2)'
else
Q :=
say =
endif

# ---- build ------------------------------------------------------------------------------------------------------------------

# The reference kernels are what the source says, one operation after the other.
$(B)/lib/kernels/%_ref.o: EXTRA := -fno-tree-vectorize
# arm64: the files of a level may use its instructions; the kernels are called where the CPU has them.
ifneq ($(filter aarch64%,$(shell $(CC) -dumpmachine)),)
$(B)/lib/kernels/arm/%_dotprod.o: EXTRA := -march=armv8.2-a+dotprod
$(B)/lib/kernels/arm/%_i8mm.o: EXTRA := -march=armv8.2-a+dotprod+i8mm
# gcc 12 for arm64 breaks down ("in vect_transform_reduction") on a loop that makes two maxima with fmax, which tests do.
$(B)/tests/%.o $(B)/plain/%.o: EXTRA := -fno-tree-vectorize
endif
$(B)/lib/base/build_info.o: EXTRA := -DEL_COMMIT='"$(COMMIT)"'

# These are unrolled so far that following variables through them, for debuggers, takes half the time of compiling; the code is the
# same without. Sanitizers' checks written out take five minutes; they are called instead. What UBSan could see in them are a few
# sizes: the rest are vectors.
LAID_OBJ := $(foreach d,lib/kernels/x86 lib/kernels/arm tests/kernels plain/tests/kernels,$(B)/$(d)/laid_%.o)
$(LAID_OBJ): LATE := -fno-var-tracking
ifneq ($(findstring -fsanitize,$(CFLAGS)),)
$(LAID_OBJ): LATE += -fno-sanitize=undefined
ifeq ($(findstring clang,$(shell $(CC) --version)),)
$(LAID_OBJ): LATE += --param asan-instrumentation-with-call-threshold=0
endif
endif

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) $(BASE_CPPFLAGS) $(EXTRA) -MMD -MP $(CFLAGS) $(CPPFLAGS) $(LATE) -c $< -o $@

$(B)/plain/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) $(BASE_CPPFLAGS) -DEL_TEST_PLAIN -Itests $(EXTRA) -MMD -MP $(CFLAGS) $(CPPFLAGS) $(LATE) -c $< -o $@

$(B)/tests/%.o: BASE_CPPFLAGS += -Itests

$(B)/flags:
	@mkdir -p $(B)
	@printf '%s\n' '$(ALL_FLAGS)' > $@

# The text stands in the object as it is.
$(B)/cmd/calibration_text.o: cmd/calibration.txt

# Rebuilds the file that names the commit when the commit changes.
$(B)/commit: FORCE
	@mkdir -p $(B); echo $(COMMIT) | cmp -s - $@ || echo $(COMMIT) > $@
$(B)/lib/base/build_info.o: $(B)/commit

$(B)/libedgellm.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

$(B)/$(SO): $(LIB_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(BASE_CFLAGS) -shared -Wl,-soname,libedgellm.so.$(SOVERSION) -Wl,-z,defs $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
	@ln -sf $(SO) $(B)/libedgellm.so.$(SOVERSION)
	@ln -sf $(SO) $(B)/libedgellm.so

# The binary finds the library beside itself (build tree) or where it was installed.
$(B)/edgellm: $(CMD_OBJ) $(B)/$(SO)
	$(call say,LD,$@)
	$(Q)$(CC) $(BASE_CFLAGS) $(BASE_LDFLAGS) -pie $(CFLAGS) $(LDFLAGS) -o $@ $(CMD_OBJ) -L$(B) -ledgellm -Wl,-rpath,'$$ORIGIN:$$ORIGIN/../lib' -lm

edgellm: $(B)/edgellm FORCE
	@cmp -s $< $@ || { cp $< $@.tmp && mv $@.tmp $@; }
libedgellm.so: $(B)/$(SO) FORCE
	@cmp -s $< $(SO) || { cp $< $(SO).tmp && mv $(SO).tmp $(SO); }
	@ln -sf $(SO) libedgellm.so.$(SOVERSION); ln -sf $(SO) $@

$(B)/unit-tests: $(UNIT_OBJ) $(CMD_TEST_OBJ) $(B)/libedgellm.a
	$(call say,LD,$@)
	$(Q)$(CC) $(BASE_CFLAGS) $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcriterion $(LIBS)

$(B)/plain-tests: $(PLAIN_OBJ) $(CMD_TEST_OBJ) $(B)/libedgellm.a
	$(call say,LD,$@)
	$(Q)$(CC) $(BASE_CFLAGS) $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/replay_%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/replay.o $(B)/libedgellm.a
	$(call say,LD,$@)
	$(Q)$(CC) $(BASE_CFLAGS) $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/example: examples/generate.c $(B)/$(SO)
	$(CC) -std=c11 $(WARN) -I$(B)/include $(CFLAGS) $(LDFLAGS) -o $@ $< -L$(B) -ledgellm -Wl,-rpath,'$$ORIGIN'
$(B)/example: $(B)/include/edgellm.h $(B)/include/edgellm_plan.h
$(B)/include/%.h: lib/%.h
	@mkdir -p $(@D) && cp $< $@
example: $(B)/example
$(B)/tools/%: tests/tools/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -D_GNU_SOURCE $(WARN) $(CFLAGS) $(LDFLAGS) -o $@ $< -lm
$(B)/tools/knapsack $(B)/tools/choices: $(B)/tools/%: tests/tools/%.c $(B)/libedgellm.a
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(BASE_CPPFLAGS) $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
tools: $(B)/tools/make_model $(B)/tools/plant_outliers $(B)/tools/supervise $(B)/tools/knapsack $(B)/tools/choices
	@mkdir -p build/tools && cp $^ build/tools/

-include $(LIB_OBJ:.o=.d) $(CMD_OBJ:.o=.d) $(UNIT_OBJ:.o=.d) $(PLAIN_OBJ:.o=.d) $(FUZZ_SRC:%.c=$(B)/%.d)

# ---- the two commands of the README -----------------------------------------------------------------------------------------

deps:
	@scripts/deps.sh build

demo: deps
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh

check:
	@scripts/deps.sh build test
	@scripts/check.sh

# ---- parts of check ---------------------------------------------------------------------------------------------------------

unit: $(B)/unit-tests
	$(B)/unit-tests --jobs 2

plain: $(B)/plain-tests
	$(B)/plain-tests

replay: $(FUZZ_BIN)
	@for t in $(FUZZ_BIN); do n=$${t##*/replay_fuzz_}; $$t tests/fuzz/corpus/$$n || exit 1; done

cli: all tools
	EDGELLM=$${EDGELLM:-./edgellm} tests/cli/run.sh

faults: all tools
	scripts/test/faults.sh

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
TSAN := -fsanitize=thread -O1
export ASAN_OPTIONS ?= abort_on_error=1:detect_leaks=1
export UBSAN_OPTIONS ?= print_stacktrace=1
export TSAN_OPTIONS ?= halt_on_error=1

check-asan:
	@$(MAKE) --no-print-directory plain replay CFLAGS='$(ASAN) $(CFLAGS)' LDFLAGS='$(ASAN) $(LDFLAGS)'

check-asan-full: check-asan
	@$(MAKE) --no-print-directory binaries CFLAGS='$(ASAN) $(CFLAGS)' LDFLAGS='$(ASAN) $(LDFLAGS)' TARGET_DIR=build/asan
	EDGELLM=build/asan/edgellm tests/cli/run.sh

check-tsan:
	@$(MAKE) --no-print-directory plain binaries CFLAGS='$(TSAN) $(CFLAGS)' LDFLAGS='$(TSAN) $(LDFLAGS)' TARGET_DIR=build/tsan
	EDGELLM=build/tsan/edgellm tests/cli/run.sh

# build/arm64/edgellm by Debian's cross compiler; check-arm64 also runs the tests under qemu-user at every level of arm64.
arm64 check-arm64:
	@scripts/deps.sh build arm64
	@scripts/test/arm64.sh $(if $(filter check-arm64,$@),check,build)

# The binary and its library of this build's flags, in TARGET_DIR.
binaries: $(B)/edgellm
	@mkdir -p $(TARGET_DIR) && cp -P $(B)/edgellm $(B)/libedgellm.so* $(TARGET_DIR)/

# For scripts: where this build's files are.
print-lib:
	@echo $(B)/libedgellm.a
print-plain:
	@echo $(B)/plain-tests
print-replay:
	@echo $(FUZZ_BIN)
plain-and-binaries: $(B)/plain-tests $(FUZZ_BIN) binaries

coverage:
	@scripts/deps.sh build test coverage
	@scripts/test/coverage.sh

# libFuzzer, clang. FUZZ_SECONDS per target.
FUZZ_SECONDS ?= 60
fuzz:
	@scripts/deps.sh build fuzz
	@scripts/test/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

check-headers:
	@for h in $(HDR); do case $$h in tests/*) x='-Itests -DEL_TEST_PLAIN';; *) x=;; esac; \
	  printf '#include "%s"\nextern int el_header_check;\n' $$h | $(CC) $(BASE_CFLAGS) $(BASE_CPPFLAGS) $$x -Werror -fsyntax-only -x c - || { echo "$$h does not compile alone" >&2; exit 1; }; done
	@echo "$(words $(HDR)) headers compile alone"

check-layers:
	@scripts/test/layers.sh
	@$(MAKE) --no-print-directory $(B)/$(SO) >/dev/null
	@scripts/test/symbols.sh $(B)/$(SO)

man-lint:
	@mandoc -T lint -W warning man/*.1 man/*.5 && echo "man pages are clean"

style:
	@scripts/test/style.sh $(BASE)

results:
	@scripts/results/render.sh

help:
	@echo 'make            ./edgellm and ./libedgellm.so'
	@echo 'make demo       install what is missing, build, make a real model smaller, measure it, let it write'
	@echo 'make check      install what is missing, build, run every test (about 10 minutes on 2 cores)'
	@echo 'make unit       the unit tests under Criterion;  make plain: the same as one plain program'
	@echo 'make cli        the tests of the command line;  make faults: kills, full disks, memory bounds'
	@echo 'make replay     the fuzz targets on their stored inputs'
	@echo 'make check-asan / check-asan-full / check-tsan   the same under sanitizers'
	@echo 'make arm64 / check-arm64   cross build in build/arm64; its tests under qemu-user, per CPU level'
	@echo 'make fuzz       libFuzzer on every target (FUZZ_SECONDS=60, FUZZ_TARGETS="gguf ...")'
	@echo 'make coverage   line coverage per folder'
	@echo 'make check-headers / check-layers / man-lint / style   rules of the house'
	@echo 'make results    writes the tables of README.md from scripts/results/*.jsonl'
	@echo 'make install / uninstall   PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'Variables: CC, CFLAGS, CPPFLAGS, LDFLAGS, DEVELOPER=1 (warnings are errors)'

# ---- installation -----------------------------------------------------------------------------------------------------------

MAN1 := $(sort $(wildcard man/*.1))
MAN5 := $(sort $(wildcard man/*.5))
D := $(DESTDIR)

install: all
	install -d $(D)$(PREFIX)/bin $(D)$(LIBDIR)/pkgconfig $(D)$(INCLUDEDIR) $(D)$(MANDIR)/man1 $(D)$(MANDIR)/man5 $(D)$(COMPLETIONDIR)
	install -m 755 $(B)/edgellm $(D)$(PREFIX)/bin/edgellm
	install -m 755 $(B)/$(SO) $(D)$(LIBDIR)/$(SO)
	ln -sf $(SO) $(D)$(LIBDIR)/libedgellm.so.$(SOVERSION)
	ln -sf libedgellm.so.$(SOVERSION) $(D)$(LIBDIR)/libedgellm.so
	install -m 644 lib/edgellm.h lib/edgellm_plan.h $(D)$(INCLUDEDIR)/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    scripts/edgellm.pc.in > $(D)$(LIBDIR)/pkgconfig/edgellm.pc
	install -m 644 $(MAN1) $(D)$(MANDIR)/man1/
	install -m 644 $(MAN5) $(D)$(MANDIR)/man5/
	./edgellm completion bash > $(D)$(COMPLETIONDIR)/edgellm

uninstall:
	rm -f $(D)$(PREFIX)/bin/edgellm $(D)$(LIBDIR)/libedgellm.so* $(D)$(INCLUDEDIR)/edgellm.h $(D)$(INCLUDEDIR)/edgellm_plan.h $(D)$(LIBDIR)/pkgconfig/edgellm.pc
	rm -f $(MAN1:man/%=$(D)$(MANDIR)/man1/%) $(MAN5:man/%=$(D)$(MANDIR)/man5/%) $(D)$(COMPLETIONDIR)/edgellm

clean:
	rm -rf build edgellm libedgellm.so*
