/*
 * until TEXT COMMAND...: runs the command, and prints the nanoseconds from fork until it has printed the text; then ends it.
 * Waits a minute at most for more.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(int argc, char **argv)
{
	static char out[1 << 20];
	size_t len = 0;
	long before;
	int fds[2], found = 0;
	struct pollfd more = { .events = POLLIN };
	ssize_t n;
	pid_t pid;

	if (argc < 3 || pipe(fds))
		return 2;
	before = now();
	pid = fork();
	if (!pid) {
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		execv(argv[2], argv + 2);
		_exit(127);
	}
	close(fds[1]);
	more.fd = fds[0];
	while (!found && len < sizeof(out) - 1 && poll(&more, 1, 60000) > 0 &&
	       (n = read(fds[0], out + len, sizeof(out) - 1 - len)) > 0) {
		len += n;
		out[len] = 0;
		found = strstr(out, argv[1]) != NULL;
	}
	if (found)
		printf("%ld\n", now() - before);
	else
		fprintf(stderr, "until: no '%s' from %s:\n%s", argv[1], argv[2], out);
	kill(pid, SIGTERM);
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return !found;
}
