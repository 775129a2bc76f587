// Settings: one function describes a struct, and that is its parser, defaults, help, environment, command line, difference
// and redaction.
//
// Sources, later ones win: the initial values in the struct, the file (`key = value` lines with [sections] and # comments),
// the environment, the command line. Unknown keys are errors. Values are checked before anything changes: a load gives either
// a whole new snapshot or diagnostics with file, line and column, and then the old snapshot stays.
// Config<T> is the holder that run() loads and reloads; readers take an immutable snapshot of it.
// Thread safety: Config's snapshots from any thread; describe() runs on one thread at a time. Not signal-safe.
//
//     struct Settings { std::string device = "/dev/ttyS0"; std::chrono::seconds period{1}; std::string token; };
//     void describe(perdure::Fields& f, Settings& s) {
//       f("device", s.device).help("serial device").restart_only();
//       f("period", s.period).range(1s, 1h).env("THERMOD_PERIOD").flag("--period");
//       f("token",  s.token).secret();
//     }
//     perdure::Config<Settings> config;                       // outlives run(); defaults until run() has loaded it
//     perdure::run(argc, argv, {.name = "thermod", .config = config}, [&](perdure::Context& ctx) {
//       while (ctx.wait(config->period)) …                    // each -> is one immutable snapshot; get() keeps one
//     });
#pragma once

#include <chrono>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "perdure/callback.hpp"
#include "perdure/config_ref.hpp"
#include "perdure/export.hpp"
#include "perdure/result.hpp"

namespace perdure {

/// A size in bytes that is written with a unit: "64K", "10M", "1G" (powers of 1024, as systemd.exec(5) has them).
struct Bytes {
  std::uint64_t count = 0;
  friend auto operator<=>(const Bytes&, const Bytes&) = default;
};

/// Thrown by a reload hook that will not have the new settings: `throw perdure::Rejected{"port is taken"}`.
class PERDURE_EXPORT Rejected {
 public:
  explicit Rejected(std::string why) : why_(std::move(why)) {}
  [[nodiscard]] const std::string& why() const noexcept { return why_; }

 private:
  std::string why_;
};

/// What a hook wants done once everybody has accepted: a callable that must not fail. `{}` means nothing to do.
class Commit {
 public:
  Commit() = default;
  template <class F>
  // clang-format off
    requires std::is_nothrow_invocable_r_v<void, F&> && (!std::same_as<std::remove_cvref_t<F>, Commit>)
  Commit(F action) : action_(std::make_unique<Holder<F>>(std::move(action))) {}  // NOLINT(google-explicit-constructor)
  // clang-format on
  void operator()() noexcept {
    if (action_) action_->call();
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual void call() noexcept = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F f) : action(std::move(f)) {}
    void call() noexcept override { action(); }
    F action;
  };
  std::unique_ptr<Base> action_;
};

namespace detail {

/// One described field, type-erased. `parse`, `print` and `clear` reach the object that describe() was called with.
struct FieldEntry {
  std::string name;  ///< "port", or "tls.cert" for `cert` in [tls]
  std::string type;  ///< for help: "duration", "integer", "text", "yes|no", …
  std::string help;
  std::string env;
  std::string flag;  ///< "--period"
  std::string range_text;
  bool secret = false;
  bool restart_only = false;
  bool repeatable = false;  ///< a vector: each occurrence appends
  /// Takes one value; the Error's message says what is wrong with it and what is wanted instead.
  Callback<Result<void>(std::string_view)> parse;
  /// The values as they would be written in the file: one, but none for an empty optional and one per element of a vector.
  Callback<std::vector<std::string>()> print;
  /// Empties an optional or a vector; not set for other fields.
  Callback<void()> clear;
  /// Check the value against range and choices; set by Field's methods.
  std::vector<Callback<Result<void>()>> checks;
};

// Text to value and back; each names what it expects on failure: `"abc" is not an integer`. A number that does not fit has
// the code ERANGE.
/// yes no true false on off 1 0, in any case.
PERDURE_EXPORT Result<bool> parse_bool(std::string_view text);
PERDURE_EXPORT Result<std::int64_t> parse_integer(std::string_view text, std::int64_t min, std::int64_t max);
PERDURE_EXPORT Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t max);
/// Finite numbers with a decimal point, whatever the locale says.
PERDURE_EXPORT Result<double> parse_double(std::string_view text);
/// systemd.time(7) time spans: "90", "1min 30s", "250ms"; a bare number counts `unit`s. Negative ones and "infinity" are
/// refused.
PERDURE_EXPORT Result<std::chrono::nanoseconds> parse_duration(std::string_view text, std::chrono::nanoseconds unit);
PERDURE_EXPORT Result<std::uint64_t> parse_size(std::string_view text);
PERDURE_EXPORT std::string print_float(float value);
PERDURE_EXPORT std::string print_double(double value);
PERDURE_EXPORT std::string print_duration(std::chrono::nanoseconds value);
PERDURE_EXPORT std::string print_size(std::uint64_t value);
/// Quotes and escapes where the text could not be read back otherwise.
PERDURE_EXPORT std::string print_string(std::string_view value);
/// `"TEXT" WHY`, the text escaped and cut.
PERDURE_EXPORT Error misfit(std::string_view text, std::string_view why);
/// The index of the word that `text` is, in any case; the Error suggests one.
PERDURE_EXPORT Result<std::size_t> parse_word(std::string_view text, const std::vector<std::string_view>& words);
/// describe() broke a rule of this header: says so on stderr and aborts.
[[noreturn]] PERDURE_EXPORT void misdescribed(std::string_view field, std::string_view what) noexcept;

template <class T>
inline constexpr bool is_duration = false;
template <class R, class P>
inline constexpr bool is_duration<std::chrono::duration<R, P>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
/// std::filesystem::path without including it.
template <class T>
concept PathLike = requires(T t, std::string s) {
  { t.native() } -> std::convertible_to<std::string>;
  t = s;
};

/// What one value of a field is: the element's type for vector and optional.
template <class T>
struct ScalarOf {
  using type = T;
};
template <class T>
requires is_vector<T> || is_optional<T>
struct ScalarOf<T> {
  using type = typename T::value_type;
};
template <class T>
using Scalar = typename ScalarOf<T>::type;

template <class T>
concept Ranged =
    (std::integral<T> && !std::same_as<T, bool>) || std::floating_point<T> || std::same_as<T, Bytes> || is_duration<T>;
template <class T>
concept Described = Ranged<T> || std::same_as<T, bool> || std::same_as<T, std::string> || PathLike<T>;

/// A duration with a count that cannot be too small for its unit.
template <class T>
using Wide = std::chrono::duration<std::conditional_t<std::floating_point<typename T::rep>, double, std::int64_t>,
                                   typename T::period>;

template <class T>
Result<T> parse_value(std::string_view text) {
  if constexpr (std::same_as<T, bool>) {
    return parse_bool(text);
  } else if constexpr (std::signed_integral<T>) {
    PERDURE_TRY(auto v, parse_integer(text, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
    return static_cast<T>(v);
  } else if constexpr (std::unsigned_integral<T>) {
    PERDURE_TRY(auto v, parse_unsigned(text, std::numeric_limits<T>::max()));
    return static_cast<T>(v);
  } else if constexpr (std::floating_point<T>) {
    PERDURE_TRY(auto v, parse_double(text));
    if (v > std::numeric_limits<T>::max() || v < std::numeric_limits<T>::lowest()) return misfit(text, "is too large");
    return static_cast<T>(v);
  } else if constexpr (std::same_as<T, std::string>) {
    return std::string{text};
  } else if constexpr (std::same_as<T, Bytes>) {
    PERDURE_TRY(auto v, parse_size(text));
    return Bytes{v};
  } else if constexpr (is_duration<T>) {
    static_assert(std::ratio_greater_equal_v<typename T::period, std::nano>, "durations are read to the nanosecond");
    PERDURE_TRY(auto v, parse_duration(text, std::chrono::duration_cast<std::chrono::nanoseconds>(Wide<T>{1})));
    const auto wide = std::chrono::duration_cast<Wide<T>>(v);
    if constexpr (std::integral<typename T::rep>) {
      if (wide != v) return misfit(text, "is finer than this setting's unit, " + print_duration(Wide<T>{1}));
      if (!std::in_range<typename T::rep>(wide.count())) return misfit(text, "is too long");
    }
    return T{static_cast<typename T::rep>(wide.count())};
  } else {
    T path{};
    path = std::string{text};
    return path;
  }
}

/// As it would be written in the file.
template <class T>
std::string print_value(const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return value ? "yes" : "no";
  } else if constexpr (std::integral<T>) {
    return std::to_string(value);
  } else if constexpr (std::same_as<T, float>) {
    return print_float(value);
  } else if constexpr (std::floating_point<T>) {
    return print_double(static_cast<double>(value));
  } else if constexpr (std::same_as<T, Bytes>) {
    return print_size(value.count);
  } else if constexpr (is_duration<T>) {
    // What is longer than nanoseconds can count, as in seconds::max() for "never", is shown as about 292 years.
    constexpr auto longest = std::chrono::duration_cast<Wide<T>>(std::chrono::hours{24 * 365 * 292});
    auto wide = Wide<T>{value};
    if (wide > longest) wide = longest;
    if (wide < -longest) wide = -longest;
    return print_duration(std::chrono::duration_cast<std::chrono::nanoseconds>(wide));
  } else if constexpr (PathLike<T>) {
    return print_string(value.native());
  } else {
    return print_string(value);
  }
}

template <class T, class F>
void for_each_value(const T& value, F visit) {
  if constexpr (is_vector<T>) {
    for (const auto& element : value) visit(element);
  } else if constexpr (is_optional<T>) {
    if (value) visit(*value);
  } else {
    visit(value);
  }
}

/// A bound of range() as a value of the field; one that the field's type cannot hold is a bug in describe().
template <class T, class Given>
T bound_of(std::string_view field, Given given) {
  if constexpr (std::integral<Given> && (std::same_as<T, Bytes> || std::integral<T>)) {
    using Number = std::conditional_t<std::integral<T>, T, std::uint64_t>;
    if (!std::in_range<Number>(given)) misdescribed(field, "a bound of its range does not fit its type");
    return T{static_cast<Number>(given)};
  } else {
    return static_cast<T>(given);
  }
}

template <class T>
constexpr const char* type_name() {
  if constexpr (std::same_as<T, bool>) return "yes|no";
  else if constexpr (std::integral<T>) return "integer";
  else if constexpr (std::floating_point<T>) return "number";
  else if constexpr (std::same_as<T, std::string>) return "text";
  else if constexpr (std::same_as<T, Bytes>) return "size";
  else if constexpr (is_duration<T>) return "duration";
  else return "path";
}

}  // namespace detail

/// One field that is being described; each call returns it again.
template <class T>
class Field {
 public:
  Field(detail::FieldEntry& entry, T& value) : entry_(entry), value_(value) {}
  /// One line for --help and the manual.
  Field& help(std::string text) {
    entry_.help = std::move(text);
    return *this;
  }
  /// The environment variable that overrides the file.
  Field& env(std::string name) {
    entry_.env = std::move(name);
    return *this;
  }
  /// The option that overrides both: "--period".
  Field& flag(std::string name) {
    entry_.flag = std::move(name);
    return *this;
  }
  /// Never printed: shown as "***" wherever settings are shown.
  Field& secret() {
    entry_.secret = true;
    return *this;
  }
  /// A reload that changes it is refused.
  Field& restart_only() {
    entry_.restart_only = true;
    return *this;
  }
  /// Inclusive bounds; of each element where the field is a vector.
  template <class Min, class Max>
  Field& range(Min min, Max max) {
    using Value = detail::Scalar<T>;
    static_assert(detail::Ranged<Value>, "range() is for numbers, durations and Bytes; use check() for other fields");
    const auto low = detail::bound_of<Value>(entry_.name, min);
    const auto high = detail::bound_of<Value>(entry_.name, max);
    if (high < low) detail::misdescribed(entry_.name, "its range is upside down");
    entry_.range_text = detail::print_value(low) + " to " + detail::print_value(high);
    entry_.checks.push_back([&value = value_, low, high, &text = entry_.range_text]() -> Result<void> {
      Result<void> result;
      detail::for_each_value(value, [&](const Value& v) {
        if (v < low || high < v) result = Error{detail::print_value(v) + " is out of range: " + text};
      });
      return result;
    });
    return *this;
  }
  /// A check of your own; return an Error that says what is wrong and what is wanted. It sees the default too where no
  /// source sets the field.
  Field& check(Callback<Result<void>(const T&)> predicate) {
    entry_.checks.push_back([&value = value_, predicate = std::move(predicate)] { return predicate(value); });
    return *this;
  }

 private:
  detail::FieldEntry& entry_;
  T& value_;
};

/// Collects the description of one struct.
class PERDURE_EXPORT Fields {
 public:
  /// A field: bool, integers, double, std::string, std::filesystem::path, durations, Bytes, std::optional of these, and
  /// std::vector of these (each occurrence of the key appends). An empty value without quotes empties an optional or a
  /// vector. `name`: [a-z][a-z0-9_]*, once in a struct.
  template <class T>
  Field<T> operator()(std::string_view name, T& value) {
    static_assert(detail::Described<detail::Scalar<T>>,
                  "this type of field is not supported; an enum is described with f(name, value, {{\"word\", value}, …})");
    detail::FieldEntry& entry = add(name, detail::type_name<detail::Scalar<T>>());
    entry.print = [&value] {
      std::vector<std::string> all;
      detail::for_each_value(value, [&all](const detail::Scalar<T>& v) { all.push_back(detail::print_value(v)); });
      return all;
    };
    if constexpr (detail::is_vector<T>) {
      entry.repeatable = true;
      entry.clear = [&value] { value.clear(); };
      entry.parse = [&value](std::string_view text) -> Result<void> {
        PERDURE_TRY(auto parsed, detail::parse_value<typename T::value_type>(text));
        value.push_back(std::move(parsed));
        return {};
      };
    } else {
      entry.parse = [&value](std::string_view text) -> Result<void> {
        PERDURE_TRY(auto parsed, detail::parse_value<detail::Scalar<T>>(text));
        value = std::move(parsed);
        return {};
      };
      if constexpr (detail::is_optional<T>) entry.clear = [&value] { value.reset(); };
    }
    return {entry, value};
  }
  /// An enum, by the words for its values; the first word for a value is the one printed. Words are read in any case.
  template <class T>
  requires std::is_enum_v<T> Field<T>
  operator()(std::string_view name, T& value, std::vector<std::pair<std::string, T>> words) {
    detail::FieldEntry& entry = add(name, "");
    for (const auto& [word, meaning] : words) entry.type += (entry.type.empty() ? "" : "|") + word;
    entry.print = [&value, words]() -> std::vector<std::string> {
      for (const auto& [word, meaning] : words)
        if (meaning == value) return {word};
      return {};
    };
    entry.parse = [&value, words = std::move(words)](std::string_view text) -> Result<void> {
      std::vector<std::string_view> names;
      for (const auto& [word, meaning] : words) names.push_back(word);
      PERDURE_TRY(const std::size_t index, detail::parse_word(text, names));
      value = words[index].second;
      return {};
    };
    return {entry, value};
  }
  /// The fields of `sub` (described by its own describe()) under [name].
  template <class T>
  void section(std::string_view name, T& sub) {
    const std::size_t outer = prefix_.size();
    prefix_ += std::string{name} + ".";
    describe(*this, sub);
    prefix_.resize(outer);
  }

  [[nodiscard]] std::vector<std::unique_ptr<detail::FieldEntry>>& entries() noexcept { return entries_; }
  [[nodiscard]] const std::vector<std::unique_ptr<detail::FieldEntry>>& entries() const noexcept { return entries_; }

 private:
  detail::FieldEntry& add(std::string_view name, std::string type);
  std::vector<std::unique_ptr<detail::FieldEntry>> entries_;
  std::string prefix_;
};

/// Something wrong in a text, where it stands, and what is wanted instead.
struct PERDURE_EXPORT Diagnostic {
  std::string source{};  ///< the file's path, "environment" or "command line"
  int line = 0;          ///< from 1; 0 where the source has no lines
  int column = 0;        ///< from 1; 0 where unknown
  std::string message{};
  bool is_warning = false;
  /// "/etc/thermod.conf:3:8: port: 70000 is out of range: 1 to 65535"
  [[nodiscard]] std::string text() const;
};

namespace detail {

/// The texts settings are made of, as values: reading them is the caller's business. An empty value in the environment or on
/// the command line empties an optional or a vector; on the command line, a bool without a value is "yes".
struct SettingSources {
  std::string file_name{};                                          ///< for diagnostics
  std::optional<std::string> file_text{};                           ///< no value: no file
  std::vector<std::pair<std::string, std::string>> environment{};   ///< name, value
  std::vector<std::pair<std::string, std::string>> command_line{};  ///< flag ("--period"), value
};

/// Fills the described object from the sources, lowest first, and checks it. Empty: all is well.
/// Ensures: every fault is reported, not only the first, also in a value that a higher source replaces; at most 100. The
/// value of a secret is in no diagnostic.
PERDURE_EXPORT std::vector<Diagnostic> apply(Fields& fields, const SettingSources& sources);
/// The object as a file: help as comments, sections, values; secrets as ***. Reading it back gives the same object, once the
/// secrets have been put in (apply() refuses a secret that is "***").
PERDURE_EXPORT std::string print_settings(const Fields& fields);
/// Names of the fields that differ and are restart_only; secrets count. Requires: both describe the same type.
PERDURE_EXPORT std::vector<std::string> changed_restart_only(const Fields& was, const Fields& now);
/// Names of all fields that differ; secrets count. Requires: both describe the same type.
PERDURE_EXPORT std::vector<std::string> changed(const Fields& was, const Fields& now);

/// What run() needs to know of a Config<T>, whatever T is: the snapshot in force, and how it is replaced.
/// User code that throws (describe, validate, hooks) becomes a diagnostic or an Error.
class PERDURE_EXPORT ConfigBase {
 public:
  ConfigBase(const ConfigBase&) = delete;
  ConfigBase& operator=(const ConfigBase&) = delete;

  /// A loaded snapshot that is not yet in force.
  struct Candidate {
    std::shared_ptr<const void> snapshot{};
    std::vector<Diagnostic> diagnostics{};  ///< not empty: refused
    std::vector<std::string> changed{};     ///< names of fields that differ from what is in force
    std::vector<Commit> commits{};          ///< filled by ask_hooks()
  };
  /// Name, flag, environment variable, type, help of each field, for --help and the command line.
  [[nodiscard]] std::vector<FieldEntry> fields() const;
  /// Loads, checks fields, runs validate(); on a reload also refuses restart_only changes. Changes nothing.
  [[nodiscard]] Candidate load(const SettingSources& sources, bool is_reload) const;
  /// Asks each on_reload hook; the first refusal is the Error and the candidate must be dropped.
  /// Requires: candidate.diagnostics is empty.
  Result<void> ask_hooks(Candidate& candidate);
  /// Puts the candidate in force, then runs the commits. Cannot fail. Requires: candidate.diagnostics is empty.
  void commit(Candidate candidate) noexcept;
  /// What is in force, as a file, secrets redacted.
  [[nodiscard]] std::string print() const;
  /// A candidate as a file, secrets redacted.
  [[nodiscard]] std::string print(const Candidate& candidate) const;
  /// How many times settings were put in force: 0 before run(), 1 after the first load.
  [[nodiscard]] std::uint64_t generation() const noexcept;

 protected:
  /// What can be done with a T, without its type.
  struct Type {
    std::shared_ptr<void> (*create)();
    std::shared_ptr<void> (*copy)(const void* object);
    void (*describe)(Fields& fields, void* object);
  };
  explicit ConfigBase(Type type);
  ~ConfigBase();
  [[nodiscard]] std::shared_ptr<const void> snapshot() const;
  void set_check(Callback<Result<void>(const void* object)> check);
  void add_hook(Callback<Commit(const void* was, const void* now)> hook);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace detail

/// Holds the settings in force. Must outlive run(). Not copyable or movable.
template <class T>
class Config final : public detail::ConfigBase {
 public:
  Config() : ConfigBase({.create = create, .copy = copy, .describe = describe_object}) {}

  /// The snapshot in force, kept alive as long as the pointer.
  [[nodiscard]] std::shared_ptr<const T> get() const { return std::static_pointer_cast<const T>(snapshot()); }
  /// One member access on one snapshot.
  [[nodiscard]] std::shared_ptr<const T> operator->() const { return get(); }

  /// A check over several fields; an Error refuses the load. Set before run().
  Config& validate(Callback<Result<void>(const T&)> check) {
    set_check([check = std::move(check)](const void* object) { return check(*static_cast<const T*>(object)); });
    return *this;
  }
  /// Called on each reload, before anything changed; refuses with `throw Rejected{why}` (any exception refuses). What it
  /// returns runs after all have accepted and the snapshot is in force. Set before run().
  Config& on_reload(Callback<Commit(const T& was, const T& now)> hook) {
    add_hook([hook = std::move(hook)](const void* was, const void* now) {
      return hook(*static_cast<const T*>(was), *static_cast<const T*>(now));
    });
    return *this;
  }

 private:
  static std::shared_ptr<void> create() { return std::make_shared<T>(); }
  static std::shared_ptr<void> copy(const void* object) { return std::make_shared<T>(*static_cast<const T*>(object)); }
  static void describe_object(Fields& fields, void* object) { describe(fields, *static_cast<T*>(object)); }
};

}  // namespace perdure
