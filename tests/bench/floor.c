/*
 * The floor: the smallest program that makes the calls that this guest can't do without, and no other. No C
 * library, no checks, no messages; the console's bytes are gathered as the real program gathers them.
 * Arguments: BACKING IMAGE. Ends at HLT.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define RAM (16UL << 20)
#define IMAGE 0x1000

static long call(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "+a"(n) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return n;
}
#define CALL(n, a, b, c) call(SYS_##n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define MMAP(size, fd) call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)

static char out[4096];
static unsigned len;

static void flush(void)
{
	CALL(write, 1, out, len);
	len = 0;
}

__attribute__((used)) static void start(long *stack)
{
	char **argv = (char **)(stack + 1);
	struct kvm_userspace_memory_region slot = { .memory_size = RAM };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = IMAGE, .rflags = 2, .rsp = 0xffffffff, .rbp = 0xffffffff };
	uint64_t identity = 0xfffbc000;
	volatile struct kvm_run *run;
	long image, kvm, file, vm, vcpu, size;

	image = CALL(open, argv[2], O_RDONLY, 0);
	kvm = CALL(open, "/dev/kvm", O_RDWR, 0);
	CALL(ioctl, kvm, KVM_GET_API_VERSION, 0);
	file = CALL(open, argv[1], O_RDWR | O_CREAT, 0600);
	CALL(flock, file, LOCK_EX | LOCK_NB, 0);
	CALL(ftruncate, file, 0, 0);
	CALL(ftruncate, file, RAM, 0);
	slot.userspace_addr = MMAP(RAM, file);
	CALL(read, image, slot.userspace_addr + IMAGE, RAM - IMAGE);
	vm = CALL(ioctl, kvm, KVM_CREATE_VM, 0);
	CALL(ioctl, vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	CALL(ioctl, vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	CALL(ioctl, vm, KVM_SET_USER_MEMORY_REGION, &slot);
	size = CALL(ioctl, kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vcpu = CALL(ioctl, vm, KVM_CREATE_VCPU, 0);
	run = (void *)MMAP(size, vcpu);
	CALL(ioctl, vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = sregs.cs.selector = 0;
	CALL(ioctl, vcpu, KVM_SET_SREGS, &sregs);
	CALL(ioctl, vcpu, KVM_SET_REGS, &regs);
	for (;;) {
		CALL(ioctl, vcpu, KVM_RUN, 0);
		if (run->exit_reason != KVM_EXIT_IO)
			break;
		out[len] = *((char *)run + run->io.data_offset);
		if (out[len++] == '\n' || len == sizeof(out))
			flush();
	}
	flush();
	CALL(exit_group, run->exit_reason != KVM_EXIT_HLT, 0, 0);
}

__asm__(".globl _start\n_start:\tmov %rsp, %rdi\n\tcall start\n");
