/*
 * turns ROUNDS COMMAND1 COMMAND2: runs the commands in turns, 1 2 2 1, ROUNDS times, their output going
 * nowhere, and prints the nanoseconds from fork to wait that each of them took, all together.
 * Making VMs grows slower as a boot goes on; taken in turns, both grow slower alike.
 *
 * A program that makes a VM waits for the kernel's next ticks, which takes 4 ms or 10. So that some microseconds of its own
 * count as what they are, and not as a tick or nothing, each round begins at another time between two ticks. A run that
 * follows another at once also waits for what RCU has still to do for that one, a tick more or less: each waits until
 * that is over. The first VM of a boot takes 16 ms more than the others: it does not count.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static long run(char *command)
{
	char *words[16];
	char copy[4096];
	int n = 0, status;
	long before;
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s", command);
	for (char *p = copy; *p && n < 15;) {
		words[n++] = p;
		while (*p && *p != ' ')
			p++;
		if (*p)
			*p++ = 0;
	}
	words[n] = NULL;
	before = now();
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		dup2(null, 2);
		execv(words[0], words);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	if (status) {
		fprintf(stderr, "turns: %s: wait status 0x%x\n", command, status);
		exit(1);
	}
	return now() - before;
}

#define TICK 4000000L
#define RCU_IS_DONE 60000 /* microseconds */

/* Busy, as a sleep would end with a tick. */
static void wait_for(long phase)
{
	while ((now() - phase) % TICK > TICK / 100)
		;
}

int main(int argc, char **argv)
{
	long sum[2] = { 0, 0 };

	int rounds = argc == 4 ? atoi(argv[1]) : 0;

	if (rounds)
		run(argv[2]);
	for (int round = 0; round < rounds; round++)
		for (int turn = 0; turn < 4; turn++) {
			int which = turn == 1 || turn == 2;

			usleep(RCU_IS_DONE);
			wait_for(round * TICK / rounds);
			sum[which] += run(argv[2 + which]);
		}
	printf("%ld %ld\n", sum[0], sum[1]);
	return 0;
}
