// Accounts: users and groups by name or number, from /etc/passwd and /etc/group.
//
// Read by ourselves: a name service may block for as long as a network does, and the manager's loop must not. refresh() looks
// before each start whether the files have changed, which costs two stat(2). Names that are in neither file are asked of the name
// service where that is allowed; all questions together may take two seconds, and one that was not answered is not repeated for a
// minute, so that a silent server delays one start and not each.
// Left out: passwords, changing anything.
// Thread safety: one thread. Fork and signal safety: none, it allocates.
//
//     PERDURE_TRY(Accounts accounts, Accounts::read());
//     accounts.ask_with(&ask_name_service);
//     PERDURE_TRY(const User user, accounts.user("www-data"));
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "perdure/result.hpp"
#include "supervisor/name_service.hpp"

namespace perdure::supervisor {

/// What the manager may wait for the name service, whatever is asked how often: this, and as much again as has passed since.
inline constexpr std::chrono::milliseconds name_service_wait_max{2000};
/// How long an answer, and the lack of one, is remembered.
inline constexpr std::chrono::seconds name_service_memory{60};

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name{};  ///< empty: a number without an entry
  std::string home{};
  std::string shell{};
  bool is_from_name_service = false;
};

class Accounts {
 public:
  /// A file that does not exist counts as an empty one.
  static Result<Accounts> read(const std::string& passwd = "/etc/passwd", const std::string& group = "/etc/group");

  /// Reads both files again if either has changed, and says whether. On failure: what was known stays known.
  Result<bool> refresh();
  /// As long as it stays the same, so has every answer: neither has a file changed, nor has the name service been asked.
  [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }
  /// Names that are in no file are asked so; nullptr, the default: they do not exist.
  void ask_with(AskNameService way) { ask_ = way; }

  /// A name, or a number in decimal. A number without an entry is a user of its own, in the group of the same number.
  [[nodiscard]] Result<User> user(std::string_view word) const;
  /// `directive`: for the error's text.
  [[nodiscard]] Result<gid_t> group(std::string_view word, std::string_view directive = "Group=") const;
  /// The groups that list `user` as a member, and its own; ascending, each once.
  [[nodiscard]] std::vector<gid_t> groups_of(const User& user) const;

 private:
  struct Group {
    std::string name;
    gid_t gid;
    std::vector<std::string> members;
  };
  /// What tells one state of a file from another.
  struct Version {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    std::int64_t modified_ns = 0;
    friend bool operator==(const Version&, const Version&) = default;
  };
  struct Answer {
    Result<std::string> line;
    base::Instant asked{};
  };
  static Version version_of(const std::string& path);
  Result<std::string> ask(const std::string& database, std::string_view key) const;
  [[nodiscard]] Error no_such(std::string_view directive, std::string_view word, std::string_view what,
                              const Error& answer) const;

  std::string passwd_{};
  std::string group_{};
  Version passwd_version_{};
  Version group_version_{};
  AskNameService ask_ = nullptr;
  mutable std::map<std::string, Answer, std::less<>> answers_{};  ///< by database and key
  mutable std::chrono::milliseconds may_wait_ = name_service_wait_max;
  mutable base::Instant last_asked_{};
  mutable std::uint64_t generation_ = 0;
  std::vector<User> users_{};
  std::vector<Group> groups_{};
};

}  // namespace perdure::supervisor
