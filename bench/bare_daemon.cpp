// The bare peer of the start: what is the least that a C++ program needs to become a daemon and to say when it is one?
//
// fork, setsid, fork, /dev/null on the standard descriptors, one byte through a pipe. The C++ runtime is loaded and used, as in
// any program that is more than this.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <string>

int main(int, char** argv) {
  const std::string name{argv[0]};
  std::cout << "starting " << name << std::endl;
  int line[2];
  if (::pipe(line) != 0) return 1;
  const pid_t middle = ::fork();
  if (middle < 0) return 1;
  if (middle > 0) {
    (void)::close(line[1]);
    char ready = 0;
    const bool started = ::read(line[0], &ready, 1) == 1;
    (void)::waitpid(middle, nullptr, 0);
    return started ? 0 : 1;
  }
  (void)::setsid();
  if (::fork() != 0) ::_exit(0);
  (void)::umask(027);
  if (::chdir("/") != 0) return 1;
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) (void)::dup2(null, fd);
  (void)::close(null);
  (void)::close(line[0]);
  if (::write(line[1], "!", 1) != 1) return 1;
  (void)::close(line[1]);
  for (;;) (void)::pause();  // TERM ends it
}
