// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* First process of the virtual machine of verify-vm.sh: runs /verify on its arguments, then powers off. */
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int status = 1;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL) || mount("sys", "/sys", "sysfs", 0, NULL))
		perror("mount");
	if (argc > 1 && fork() == 0) {
		argv[0] = "/verify";
		execv("/verify", argv);
		perror("/verify");
		_exit(1);
	}
	wait(&status);
	printf("verify: exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	fflush(stdout);
	sync();
	return reboot(RB_POWER_OFF);
}
