# hone: one binary, one library, one test program a module.
#
#   make            build ./hone            make check      run the tests (T=word filters)
#   make quickstart train the small policy  make asan       the tests under sanitizers
#   make lint       rules of the house      make bench      speed as a part of the ceiling
#   make fuzz       libFuzzer, FUZZ_RUNS=   make torture    thousands of kills, KILLS=
#   make faults     each write made to fail make install    DESTDIR= PREFIX=
#   make bench-db   a million episodes, EPISODES=
#   make hostile    programs that want out  make mbpp       a public set, MBPP=FILE
#   make exact      all of the same bits    make check-aarch64  the same bits there, emulated
#   make clean
#
# MODE (release, asan, fuzz) picks the flags and its own object folder. CC may be gcc or clang.
# V=1 shows the commands.
MODE ?= release
ifeq ($(origin CC),default)
CC := gcc
endif
Q := $(if $(V),,@)
PREFIX ?= /usr/local
PKGS := sqlite3 libcurl libcjson libxxhash libpcre2-8 libutf8proc
PKGS += libseccomp
# FLINT 3 holds what were libraries of their own before (reward/math_flint.h).
HAVE_FLINT3 := $(shell echo | $(CC) $(CFLAGS) -E -include flint/ca.h - >/dev/null 2>&1 && echo yes)
FLINT := $(if $(HAVE_FLINT3),,-lcalcium -lantic -lflint-arb) -lflint -lmpfr -lgmp
OUT := build/$(MODE)-$(notdir $(CC))
VERSION := 0.1.0

WARN := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wshadow $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
BASE := -std=gnu11 -D_GNU_SOURCE -I. -fopenmp -ffp-contract=off -fno-math-errno -fno-trapping-math $(shell pkg-config --cflags $(PKGS))
ifeq ($(MODE),asan)
FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(MODE),fuzz)
FLAGS := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
else ifeq ($(MODE),release)
FLAGS := -O3 -g
else
$(error MODE is release, asan or fuzz, not $(MODE))
endif
CFLAGS_ALL := $(BASE) -MMD -MP $(WARN) $(FLAGS) $(CFLAGS)
LIBS := $(FLINT) $(shell pkg-config --libs $(PKGS)) -lm

# policy/kernels/ is compiled once for each instruction set; the rest once.
ARCH := $(shell $(CC) -dumpmachine | cut -d- -f1)
ifeq ($(ARCH),x86_64)
ISAS := avx512bf16 avx512 avx2 plain
else ifeq ($(ARCH),aarch64)
ISAS := neon plain
else
ISAS := plain
endif
ISA_avx512bf16 := -march=x86-64-v4 -mavx512bf16 -mprefer-vector-width=512
ISA_avx512 := -march=x86-64-v4 -mprefer-vector-width=512
ISA_avx2 := -march=x86-64-v3
ISA_neon :=
ISA_plain := -DSIMD_PLAIN

SRC := $(wildcard base/*.c policy/*.c rollout/*.c reward/*.c rl/*.c db/*.c)
KERNELS := $(wildcard policy/kernels/*.c)
CLI := $(wildcard cli/*.c)
TESTS := $(wildcard tests/test_*.c)
TEST_LIB := $(filter-out $(TESTS),$(wildcard tests/*.c))

LIB_OBJ := $(SRC:%.c=$(OUT)/%.o) $(foreach i,$(ISAS),$(KERNELS:%.c=$(OUT)/%.$(i).o))
CLI_OBJ := $(filter-out $(OUT)/cli/main.o,$(CLI:%.c=$(OUT)/%.o))
TEST_BIN := $(TESTS:%.c=$(OUT)/%)

all: hone hone_sqlite.so
hone: $(OUT)/hone
	@cmp -s $< $@ || cp -f $< $@
hone_sqlite.so: $(OUT)/hone_sqlite.so
	@cmp -s $< $@ || cp -f $< $@

# Loaded by a sqlite3 without sanitizers, whatever MODE is.
$(OUT)/hone_sqlite.so: db/ext/episode_tokens.c Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LD  $@")
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -I. $(WARN) -O2 -g -fPIC -shared $(shell pkg-config --cflags sqlite3) $(CFLAGS) $< -o $@

$(OUT)/hone: $(OUT)/cli/main.o $(OUT)/libcli.a $(OUT)/libhone.a
	$(if $(Q),@echo "  LD  $@")
	$(Q)$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS) $(LDFLAGS)

$(OUT)/libhone.a: $(LIB_OBJ)
$(OUT)/libcli.a: $(CLI_OBJ)
$(OUT)/%.a:
	@rm -f $@
	$(Q)ar rcs $@ $^

$(OUT)/tests/test_%: $(OUT)/tests/test_%.o $(TEST_LIB:%.c=$(OUT)/%.o) $(OUT)/libcli.a $(OUT)/libhone.a
	$(if $(Q),@echo "  LD  $@")
	$(Q)$(CC) $(CFLAGS_ALL) $^ -o $@ -lcmocka $(LIBS) $(LDFLAGS)

define isa_rule
$(OUT)/%.$(1).o: %.c Makefile
	@mkdir -p $$(@D)
	$$(if $$(Q),@echo "  CC  $$< ($(1))")
	$$(Q)$(CC) $(CFLAGS_ALL) $(ISA_$(1)) -DSIMD_ISA=$(1) -c $$< -o $$@
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

$(OUT)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC  $<")
	$(Q)$(CC) $(CFLAGS_ALL) $(foreach i,$(ISAS),-DHAVE_ISA_$(i)) -c $< -o $@

# db/schema.c and reward/zygote.c embed them with .incbin, which -MMD does not see.
$(OUT)/db/schema.o: db/schema.sql db/views.sql
$(OUT)/reward/zygote.o: reward/zygote.py

# The commit is known to one object only, made again after each commit.
$(OUT)/cli/version.o: $(wildcard .git/logs/HEAD)
$(OUT)/cli/version.o: CFLAGS_ALL += -DHONE_VERSION='"$(VERSION)"' -DHONE_COMMIT='"$(shell git rev-parse --short HEAD 2>/dev/null)"'

tests: $(TEST_BIN) $(OUT)/hone $(OUT)/hone_sqlite.so
check: tests
	@tests/run.sh $(OUT) "$(T)"
asan:
	@$(MAKE) --no-print-directory MODE=asan check
# libFuzzer over base/ and reward/: FUZZ_RUNS executions of the targets named by T.
FUZZ_RUNS ?= 100000
FUZZ_BIN := $(patsubst %.c,$(OUT)/%,$(wildcard tests/fuzz/fuzz_*.c))
$(OUT)/libfuzz.a: $(patsubst %.c,$(OUT)/%.o,$(wildcard base/*.c reward/*.c))
$(OUT)/tests/fuzz/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/libfuzz.a
	$(if $(Q),@echo "  LD  $@")
	$(Q)$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer $^ -o $@ $(LIBS) $(LDFLAGS)
fuzz-targets: $(FUZZ_BIN)
fuzz:
	@$(MAKE) --no-print-directory MODE=fuzz CC=clang fuzz-targets
	@tests/fuzz/run.sh build/fuzz-clang $(FUZZ_RUNS) "$(T)"
# Every call of the write path made to fail, and all the rest that can go wrong with a disk.
faults: hone
	HONE=$(CURDIR)/hone HONE_TEST_FAULTS=0 tests/test_faults.sh
# A thousand kills (KILLS=n) of the tiny run, and of the quickstart shortened.
KILLS ?= 1000
torture: hone
	HONE=$(CURDIR)/hone HONE_TEST_KILLS=$(KILLS) tests/test_kill.sh
	HONE=$(CURDIR)/hone HONE_TEST_KILLS=$(KILLS) HONE_TEST_EXPERIMENT=quickstart tests/test_kill.sh
# The same bits on another processor: a cross build under an emulator (./setup.sh --aarch64).
check-aarch64: hone
	+@tests/aarch64.sh
# The same bits on every instruction set with every number of threads.
exact: hone
	HONE=$(CURDIR)/hone HONE_TEST_EXACT=full tests/test_exact.sh
# Programs that want out, as root and as somebody else; MBPP=FILE: its references and mistakes.
hostile: hone
	@HONE=$(CURDIR)/hone tests/hostile/run.sh --timing
mbpp: hone
	@[ -s "$(MBPP)" ] || { echo "make mbpp: MBPP=FILE must name mbpp.jsonl (974 rows)"; exit 66; }
	tests/mbpp.py $(CURDIR)/hone $(MBPP)
lint:
	@CFLAGS="$(BASE)" tests/lint.sh
bench: hone
	./hone bench
# A million episodes written, and questions asked of them; 3 GB in build/.
EPISODES ?= 1000000
$(OUT)/bench-db: tests/bench/db.c $(OUT)/libhone.a
	$(Q)$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS) $(LDFLAGS)
bench-db: hone hone_sqlite.so $(OUT)/bench-db
	tests/bench/db.sh $(OUT)/bench-db build/bench-db $(EPISODES)
quickstart: all
	./hone train experiments/quickstart/experiment.json --out runs/quickstart --overwrite

install: hone hone_sqlite.so
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/hone include share/hone/python share/doc/hone)
	install -m 755 hone reward/python/hone-reward-py $(DESTDIR)$(PREFIX)/bin
	install -m 644 reward/hone_reward.h $(DESTDIR)$(PREFIX)/include
	install -m 644 reward/python/hone_reward.py $(DESTDIR)$(PREFIX)/share/hone/python
	install -m 644 hone_sqlite.so $(DESTDIR)$(PREFIX)/lib/hone/hone_sqlite.so
	cp -R experiments $(DESTDIR)$(PREFIX)/share/hone/
	cp -R LICENSE $(wildcard README.md docs) $(DESTDIR)$(PREFIX)/share/doc/hone/

clean:
	rm -rf build hone hone_sqlite.so

.PHONY: bench-db torture faults fuzz fuzz-targets check-aarch64 exact hostile mbpp
.PHONY: all hone tests check asan lint bench quickstart install clean
.SECONDARY:
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
