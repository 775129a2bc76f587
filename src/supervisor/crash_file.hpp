// CrashFile: the CrashRecord in a memory file, which is parked in the keeper and mapped by each manager after the other.
//
// Where there is no memory for it, the record is the process's own: everything works, and nothing is remembered.
// Left out: what the record means (crash_record.hpp). Thread safety: one thread. Fork safety: none. Signal safety: none.
//
//     CrashFile crashes = parked ? CrashFile::adopt(std::move(parked)) : CrashFile::create();
//     const CrashFile::Held held{crashes, Input::Unit, "web.service", 0};         // in hand until the end of the scope
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "perdure/unique_fd.hpp"
#include "supervisor/crash_record.hpp"

namespace perdure::supervisor {

class CrashFile {
 public:
  /// A record of the process's own.
  CrashFile() : CrashFile(UniqueFd{}, nullptr) {}
  static CrashFile create();
  /// What cannot be read is begun anew.
  static CrashFile adopt(UniqueFd file);
  CrashFile(CrashFile&& other) noexcept;
  CrashFile& operator=(CrashFile&& other) noexcept;
  ~CrashFile();

  /// -1: there is none.
  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  CrashRecord& record() noexcept { return *record_; }
  [[nodiscard]] const CrashRecord& record() const noexcept { return *record_; }

  class Held {
   public:
    Held(CrashFile& file, Input input, std::string_view name, std::uint64_t hash) noexcept
        : record_(file.record()), input_(input) {
      take_in_hand(record_, input_, name, hash);
    }
    ~Held() { let_go(record_, input_); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    CrashRecord& record_;
    Input input_;
  };

 private:
  CrashFile(UniqueFd file, CrashRecord* mapped);

  UniqueFd file_;
  CrashRecord* mapped_;  ///< nullptr: the record is own_
  std::unique_ptr<CrashRecord> own_{};
  CrashRecord* record_;
};

}  // namespace perdure::supervisor
