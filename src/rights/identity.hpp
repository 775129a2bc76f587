// Who a name stands for: user, group, and the groups that belong to them.
//
// A number is taken as such where no name is written so; then the user needs no entry, but a group has to be named.
// May load the C library's name service modules. Thread safety: all. Fork: yes. Signal safety: none.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::rights {

struct Identity {
  uid_t user;
  gid_t group;
  std::vector<gid_t> groups{};  ///< supplementary ones; with `group` in them
  std::string user_name{};      ///< for messages: as it was written, or the number
  std::string group_name{};
};

/// `user` or `group` may be "": the process's own user; the user's own group. A group alone has no supplementary ones.
/// On failure: the message names who is unknown, and code() is ENOENT; else the code tells what stood in the way.
Result<Identity> look_up(const std::string& user, const std::string& group);

}  // namespace perdure::rights
