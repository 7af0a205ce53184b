/*
 * The floor of getting a kernel ready: the same files, read into memory of the same size and kind, and no other call. As in the
 * machine, the kernel comes to 16 MiB, and an initrd to the end.
 * Arguments: BACKING|anon MIB FILE...
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t size, at = 16 << 20;
	struct stat status;
	char *memory;

	if (argc < 4)
		return 2;
	size = strtoul(argv[2], NULL, 0) << 20;
	if (strcmp(argv[1], "anon")) {
		int file = open(argv[1], O_RDWR | O_CREAT, 0600);

		if (file < 0 || ftruncate(file, size))
			return 1;
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	} else {
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		madvise(memory, size, MADV_NOHUGEPAGE);
	}
	if (memory == MAP_FAILED)
		return 1;
	for (int i = 3; i < argc; i++) {
		int file = open(argv[i], O_RDONLY);

		if (file < 0 || fstat(file, &status))
			return 1;
		if (i > 3)
			at = (size - status.st_size) & ~4095UL;
		if (read(file, memory + at, status.st_size) != status.st_size)
			return 1;
		close(file);
	}
	_exit(0);
}
