// What owns something of the kernel's is moved and never copied: said to the compiler, for every public type.
#include <perdure/command.hpp>
#include <perdure/control.hpp>
#include <perdure/detach.hpp>
#include <perdure/log.hpp>
#include <perdure/notify.hpp>
#include <perdure/pid_file.hpp>
#include <perdure/rotating_file.hpp>
#include <perdure/run.hpp>
#include <perdure/testing/process.hpp>
#include <perdure/unique_fd.hpp>

#include <type_traits>

#include <gtest/gtest.h>

namespace {

template <class... Types>
constexpr bool none_is_copied = (... && !(std::is_copy_constructible_v<Types> || std::is_copy_assignable_v<Types>));
template <class... Types>
constexpr bool all_are_moved = (... && std::is_nothrow_move_constructible_v<Types>);

TEST(Resources, AreMovedAndNeverCopied) {
  using namespace perdure;
  static_assert(none_is_copied<UniqueFd, PidFile, Child, RotatingFile, ControlServer, ControlClient, Notify, StartReport,
                               Log, Context, perdure::testing::Process, perdure::testing::TempDir>);
  static_assert(all_are_moved<UniqueFd, PidFile, Child, RotatingFile, ControlServer, ControlClient, Notify, StartReport,
                              perdure::testing::Process>);
}

}  // namespace
