#include "process/test_program.hpp"

#include <map>

namespace perdure::process::test {

namespace {

std::map<std::string, Role>& roles() {
  static std::map<std::string, Role> all;
  return all;
}

}  // namespace

RoleEntry::RoleEntry(const char* name, Role role) { roles()[name] = role; }

}  // namespace perdure::process::test

int main(int argc, char** argv) {
  using namespace perdure::process::test;
  if (argc > 2 && std::string{argv[1]} == "--role") {
    const auto role = roles().find(argv[2]);
    return role == roles().end() ? 64 : role->second(Arguments(argv + 3, argv + argc));
  }
  ::testing::InitGoogleMock(&argc, argv);
  // Daemons that tests detach become children of this process, which reaps them.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  return RUN_ALL_TESTS();
}
