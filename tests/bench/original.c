/*
 * The yardstick: the calls of the original KOB-2M, in the way in which a C program makes them. A file on hugetlbfs, the slot
 * at 0x1000, one vCPU, a plain loop that prints with stdio. Other than the original it ends at HLT.
 * Arguments: BACKING IMAGE.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM_SIZE (16UL << 20)
#define RAM_BASE 0x1000UL
#define PORT 0x10

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	struct kvm_userspace_memory_region slot = { 0 };
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int kvm, vm, vcpu, file, image, size;
	struct stat status;
	struct kvm_run *run;
	char *ram;

	if (argc != 3)
		return 2;
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		fail("/dev/kvm");
	if (ioctl(kvm, KVM_GET_API_VERSION, NULL) != 12)
		fail("KVM_GET_API_VERSION");
	vm = ioctl(kvm, KVM_CREATE_VM, 0UL);
	if (vm < 0)
		fail("KVM_CREATE_VM");

	file = open(argv[1], O_CREAT | O_RDWR, 0600);
	if (file < 0)
		fail(argv[1]);
	/* The original does not empty the file. This one must, since the programs that are compared do. */
	if (ftruncate(file, 0) || ftruncate(file, RAM_SIZE))
		fail("ftruncate");
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (ram == MAP_FAILED)
		fail("mmap");

	image = open(argv[2], O_RDONLY);
	if (image < 0 || fstat(image, &status))
		fail(argv[2]);
	if (read(image, ram, status.st_size) != status.st_size)
		fail("read");
	close(image);

	slot.guest_phys_addr = RAM_BASE;
	slot.memory_size = RAM_SIZE;
	slot.userspace_addr = (uint64_t)ram;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		fail("KVM_SET_USER_MEMORY_REGION");

	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0UL);
	if (vcpu < 0)
		fail("KVM_CREATE_VCPU");
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		fail("mmap");
	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		fail("KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0)
		fail("KVM_SET_SREGS");
	memset(&regs, 0, sizeof(regs));
	regs.rip = 0x1000;
	regs.rflags = 2;
	regs.rsp = regs.rbp = 0xffffffff;
	if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		fail("KVM_SET_REGS");

	for (;;) {
		if (ioctl(vcpu, KVM_RUN, NULL) < 0)
			fail("KVM_RUN");
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (run->io.direction == KVM_EXIT_IO_OUT && run->io.port == PORT)
				putchar(*((char *)run + run->io.data_offset));
			break;
		case KVM_EXIT_HLT:
			/* To the end of main: stdio writes out what it holds, and the kernel takes the rest back. */
			return 0;
		default:
			fprintf(stderr, "exit reason %u\n", run->exit_reason);
			return 1;
		}
	}
}
