// Config<T> without its T: the snapshot in force and the transaction that replaces it.
#include <exception>
#include <mutex>

#include "base/assert.hpp"
#include "perdure/settings.hpp"

namespace perdure::detail {
namespace {

std::string joined(const std::vector<std::string>& values) {
  std::string all;
  for (const std::string& value : values) all += (all.empty() ? "" : ", ") + value;
  return all;
}

// For people: the range goes with the type, the default with the help. The object it described is gone afterwards.
FieldEntry for_help(const FieldEntry& entry) {
  FieldEntry copy;
  copy.name = entry.name;
  copy.type = entry.range_text.empty() ? entry.type : entry.type + ", " + entry.range_text;
  copy.help = entry.help;
  copy.env = entry.env;
  copy.flag = entry.flag;
  copy.range_text = entry.range_text;
  copy.secret = entry.secret;
  copy.restart_only = entry.restart_only;
  copy.repeatable = entry.repeatable;
  if (const auto value = entry.secret ? std::string{} : joined(entry.print()); !value.empty())
    copy.help += (copy.help.empty() ? "(default: " : " (default: ") + value + ')';
  return copy;
}

}  // namespace

struct ConfigBase::State {
  explicit State(Type of) : type(of), current(of.create()) {}

  Type type;
  Callback<Result<void>(const void*)> check{};
  std::vector<Callback<Commit(const void*, const void*)>> hooks{};

  mutable std::mutex mutex{};  // guards what follows
  std::shared_ptr<const void> current;
  std::uint64_t generation = 0;

  [[nodiscard]] std::string print(const void* object) const {
    const auto copy = type.copy(object);
    Fields fields;
    type.describe(fields, copy.get());
    return print_settings(fields);
  }

  void load(Candidate& candidate, const SettingSources& sources, bool is_reload, const void* in_force) const {
    const auto value = type.create();
    Fields now;
    type.describe(now, value.get());
    candidate.snapshot = value;
    candidate.diagnostics = apply(now, sources);
    const auto refuse = [&](std::string why) {
      candidate.diagnostics.push_back({.source = sources.file_name, .message = std::move(why)});
    };
    if (candidate.diagnostics.empty() && check) {
      if (auto checked = check(value.get()); !checked) refuse(checked.error().message());
    }
    const auto was_value = type.copy(in_force);
    Fields was;
    type.describe(was, was_value.get());
    candidate.changed = detail::changed(was, now);
    if (!is_reload || !candidate.diagnostics.empty()) return;
    for (const std::string& name : changed_restart_only(was, now)) refuse(name + " can only be changed by a restart");
  }
};

ConfigBase::ConfigBase(Type type) : state_(std::make_unique<State>(type)) {}
ConfigBase::~ConfigBase() = default;

void ConfigBase::set_check(Callback<Result<void>(const void*)> check) { state_->check = std::move(check); }
void ConfigBase::add_hook(Callback<Commit(const void*, const void*)> hook) { state_->hooks.push_back(std::move(hook)); }

std::shared_ptr<const void> ConfigBase::snapshot() const {
  const std::lock_guard lock{state_->mutex};
  return state_->current;
}

std::uint64_t ConfigBase::generation() const noexcept {
  const std::lock_guard lock{state_->mutex};
  return state_->generation;
}

std::vector<FieldEntry> ConfigBase::fields() const {
  const auto defaults = state_->type.create();
  Fields fields;
  state_->type.describe(fields, defaults.get());
  std::vector<FieldEntry> entries;
  for (const auto& entry : fields.entries()) entries.push_back(for_help(*entry));
  return entries;
}

ConfigBase::Candidate ConfigBase::load(const SettingSources& sources, bool is_reload) const {
  Candidate candidate;
  const auto in_force = snapshot();
  std::string thrown;
  try {
    state_->load(candidate, sources, is_reload, in_force.get());
    return candidate;
  } catch (const std::exception& e) {
    thrown = e.what();
  } catch (...) {
    thrown = "something that is not a std::exception";
  }
  candidate.diagnostics.push_back({.source = sources.file_name, .message = "the check of the settings threw: " + thrown});
  return candidate;
}

Result<void> ConfigBase::ask_hooks(Candidate& candidate) {
  PERDURE_ASSERT(candidate.diagnostics.empty(), "settings with faults were offered to the hooks");
  const auto was = snapshot();
  for (auto& hook : state_->hooks) {
    try {
      candidate.commits.push_back(hook(was.get(), candidate.snapshot.get()));
    } catch (const Rejected& rejected) {
      return Error{rejected.why()};
    } catch (const std::exception& e) {
      return Error{e.what()};
    } catch (...) {
      return Error{"a reload hook threw something that is not a std::exception"};
    }
  }
  return {};
}

void ConfigBase::commit(Candidate candidate) noexcept {
  PERDURE_ASSERT(candidate.snapshot != nullptr && candidate.diagnostics.empty(),
                 "settings with faults were to be put in force");
  {
    const std::lock_guard lock{state_->mutex};
    // Swapped, so that the last owner of the old snapshot destroys it outside the lock: its destructor may read settings.
    state_->current.swap(candidate.snapshot);
    ++state_->generation;
  }
  for (Commit& action : candidate.commits) action();
}

std::string ConfigBase::print() const { return state_->print(snapshot().get()); }
std::string ConfigBase::print(const Candidate& candidate) const { return state_->print(candidate.snapshot.get()); }

}  // namespace perdure::detail
