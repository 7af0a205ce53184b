# KOB-2M: see README.md. The first target is BiscuitOS'; biscuitos/README.md says what it expects.
#
#   make            the program and the guests
#   make install    into INSPATH, as BiscuitOS does it: builds nothing
#   make pack       a small BiscuitOS with them in it
#   make run        boots it in QEMU; CMD="..." runs that in it instead; KERNEL=6.12 takes that Linux
#   make test       every test there is
#   make test-kernels  the tests in QEMU on other Linuxes: 5.10, and the newest that Debian has
#   make bench      measures, in the same QEMU, against the least that such a program must do
#   make clean      removes what `make` made

# BiscuitOS' wrapper sets the first three on the command line, users the others.
TARGETA := BiscuitOS_app
ARCH    := x86_64
INSPATH := ./
KERNEL  := 6.1
CMD     ?=

IMAGE   := _BiscuitOS-VM.iso
PROGRAM := target/x86_64-unknown-linux-musl/release/BiscuitOS_app
KERNELS := $(wildcard guest/kernel/*.S)
GUESTS  := $(filter-out %/BiscuitOS-Virtual-Machine.S $(KERNELS),$(wildcard guest/*.S guest/*/*.S))
BINS    := $(GUESTS:guest/%.S=target/guest/%.bin) $(KERNELS:guest/%.S=target/guest/%.elf)

# What the shell will see is looked at here, where it can do no harm.
strange = $(shell printf %s '$(subst ','\'',$(value $(1)))' | tr -d 'A-Za-z0-9._+-')
ifneq ($(ARCH),x86_64)
$(error ARCH=$(ARCH): this project is x86_64 only)
endif
ifneq ($(call strange,TARGETA)$(filter -% .%,$(TARGETA))|$(words $(TARGETA)),|1)
$(error TARGETA=$(value TARGETA): not a plain file name, of letters, digits and ._+- alone)
endif
ifneq ($(filter all install pack run in-qemu test test-kernels bench clean firmware Makefile $(IMAGE) RunBiscuitOS.sh \
	target biscuitos docs guest src tests Cargo.toml Cargo.lock,$(TARGETA)),)
$(error TARGETA=$(TARGETA): the name is taken here)
endif
ifneq ($(call strange,KERNEL)|$(words $(subst ., ,$(KERNEL:newest=7.2))),|2)
$(error KERNEL=$(value KERNEL): not a series of Debian's kernels, such as 6.1 or 6.12, and not newest)
endif
ifeq ($(strip $(INSPATH)),)
$(error INSPATH is empty: the directory to install into)
endif
ifneq ($(findstring ",$(value INSPATH))$(findstring `,$(value INSPATH))$(findstring $$,$(value INSPATH))$(findstring \,$(value INSPATH))$(filter -%,$(value INSPATH)),)
$(error INSPATH=$(value INSPATH): begins with -, or has one of "`$$\)
endif

# The wrapper exports its CC and flags, which name no compiler of this machine, and make its own
# variables: no tool here shall see either.
CLEAN_ENV := env -u CC -u CPP -u CXX -u CFLAGS -u CXXFLAGS -u CPPFLAGS -u LDFLAGS -u CCASFLAGS -u LIBS \
	-u PKG_CONFIG_PATH -u CROSS_COMPILE -u ARCH -u RUSTFLAGS -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
	PATH="$$PATH:$$HOME/.cargo/bin"

# What is being made is said on standard error: standard output is for what CMD prints.

all: $(TARGETA) $(IMAGE) $(BINS)

.PHONY: all install pack run in-qemu test test-kernels bench clean

# The program is what cargo builds, with the flags in Cargo.toml and no others.
$(PROGRAM): Cargo.toml Cargo.lock $(shell find src -type f) Makefile
	@$(CLEAN_ENV) sh biscuitos/need musl cc as ld
	@echo "cargo build --release --target x86_64-unknown-linux-musl" >&2
	@$(CLEAN_ENV) cargo build --quiet --locked --release --target x86_64-unknown-linux-musl
	@touch $@

# What `clean` is to remove beside target/.
REMEMBER = @grep -qsxF $@ target/made || echo $@ >> target/made

# A file that is not ours is not overwritten.
$(TARGETA): $(PROGRAM)
	@if [ -e $@ ] && ! grep -qsxF $@ target/made; then \
		echo "make: $@ is there, and make did not make it; give another name: TARGETA=NAME" >&2; exit 1; fi
	@install -m 755 $< $@
	$(REMEMBER)

AS_LD = @echo "as, ld $@" >&2 && as --64 -I guest -o target/guest/$*.o $< && \
	ld -m elf_x86_64 -N -Ttext 0x1000 -e _start --oformat binary -o $@ target/guest/$*.o

target/guest/%.bin: guest/%.S guest/protected.inc guest/lesson.inc guest/board.inc
	@mkdir -p $(@D)
	$(AS_LD)

# Multiboot kernels: ELF programs of 32 bits.
target/guest/kernel/%.elf: guest/kernel/%.S guest/kernel/kernel.inc guest/board.inc
	@mkdir -p $(@D)
	@echo "as, ld $@" >&2 && as --32 -I guest/kernel -I guest -o target/guest/kernel/$*.o $< && \
		ld -m elf_i386 -z noexecstack -Ttext 0x400000 -e _start -o $@ target/guest/kernel/$*.o

target/guest/original.bin: guest/BiscuitOS-Virtual-Machine.S

$(IMAGE): target/guest/BiscuitOS-Virtual-Machine.bin
	@cp $< $@
	$(REMEMBER)

FILES := $(TARGETA) $(IMAGE) RunBiscuitOS.sh $(BINS)

# Into this directory itself, which is the default, there is only firmware/ to put.
install:
	@for file in $(FILES); do [ -f $$file ] || \
		{ echo "make install: $$file is missing: run \`make TARGETA=$(TARGETA)\` first" >&2; exit 1; }; done
	@mkdir -p "$(INSPATH)/firmware"
	@if [ ! "$(INSPATH)" -ef . ]; then \
		install -m 755 $(TARGETA) "$(INSPATH)/$(TARGETA)" && \
		sed 's/^PROGRAM=.*/PROGRAM=$(TARGETA)/' RunBiscuitOS.sh | \
		install -m 755 /dev/stdin "$(INSPATH)/RunBiscuitOS.sh"; fi
	@install -m 644 $(IMAGE) "$(INSPATH)/firmware/$(IMAGE)"
	@for file in $(BINS:target/guest/%=%); do \
		install -D -m 644 target/guest/$$file "$(INSPATH)/firmware/$$file" || exit 1; done
	@echo "installed $(TARGETA), RunBiscuitOS.sh and firmware/ into $(INSPATH)"

pack: all
	@$(CLEAN_ENV) sh biscuitos/pack $(KERNEL) $(TARGETA)

# If this recipe failed, make would print `Error 7` last, as if that were its own. So in-qemu succeeds whatever CMD's status is;
# the recipe of run reads the status and reports it.
run: in-qemu
	@: $(foreach status,$(FAILURE),$(error the command in QEMU ended with status $(status); make itself did not fail))

FAILURE = $(filter-out 0,$(shell cat target/run.status 2> /dev/null && rm target/run.status))

in-qemu: pack
	@$(CLEAN_ENV) sh biscuitos/need qemu
	@rm -f target/run.status
	@TELL=1 STATUS=target/run.status $(CLEAN_ENV) sh biscuitos/run $(KERNEL) || [ -s target/run.status ]
# As typed: make would take the dollars in it for its own.
in-qemu: override export CMD := $(value CMD)

test: all
	@$(CLEAN_ENV) sh biscuitos/need cc headers qemu strace lz4 zstd iasl lspci gdb
	@$(CLEAN_ENV) cargo test --locked

# On the oldest of Debian's kernels that there is, and on the newest.
test-kernels: all
	@$(CLEAN_ENV) sh biscuitos/need cc headers qemu strace lz4 zstd lspci gdb
	@KERNELS="5.10 newest" $(CLEAN_ENV) cargo test --locked --test bed

bench: pack
	@$(CLEAN_ENV) sh biscuitos/need cc headers as ld qemu strace lz4 zstd gdb
	@$(CLEAN_ENV) sh tests/bench/run $(KERNEL)

clean:
	@[ ! -f target/made ] || while read -r file; do rm -f "./$$file"; done < target/made
	rm -rf target
