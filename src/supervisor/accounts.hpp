// Accounts: users and groups by name or number, from /etc/passwd and /etc/group.
//
// Read by ourselves: a name service may block for as long as a network does, and the manager's loop must not. A name that is not
// in the files is an error here; asking a name service on the side is left to a later version.
// Left out: passwords, changing anything.
// Thread safety: as a plain value. Fork and signal safety: none, it allocates.
//
//     PERDURE_TRY(const Accounts accounts, Accounts::read());
//     PERDURE_TRY(const User user, accounts.user("www-data"));
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::supervisor {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name{};  ///< empty: a number without an entry
  std::string home{};
  std::string shell{};
};

class Accounts {
 public:
  /// A file that does not exist counts as an empty one.
  static Result<Accounts> read(const std::string& passwd = "/etc/passwd", const std::string& group = "/etc/group");

  /// A name, or a number in decimal. A number without an entry is a user of its own, in the group of the same number.
  [[nodiscard]] Result<User> user(std::string_view word) const;
  [[nodiscard]] Result<gid_t> group(std::string_view word) const;
  /// The groups that list `user` as a member, and its own; ascending, each once.
  [[nodiscard]] std::vector<gid_t> groups_of(const User& user) const;

 private:
  struct Group {
    std::string name;
    gid_t gid;
    std::vector<std::string> members;
  };
  std::vector<User> users_{};
  std::vector<Group> groups_{};
};

}  // namespace perdure::supervisor
