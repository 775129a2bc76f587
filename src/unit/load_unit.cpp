// load_unit(): the texts of a unit, merged into a UnitSpec.
#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/assert.hpp"
#include "unit/load.hpp"
#include "unit/special_targets.hpp"
#include "unit/unit_file.hpp"

namespace perdure::unit {
namespace {

// Variables that a service finds in its environment without Environment=: systemd.exec(5), "Environment variables in spawned
// processes". Whoever starts it sets them.
constexpr std::string_view given_variables[] = {"PATH",
                                                "LANG",
                                                "USER",
                                                "LOGNAME",
                                                "HOME",
                                                "SHELL",
                                                "INVOCATION_ID",
                                                "MAINPID",
                                                "MANAGERPID",
                                                "XDG_RUNTIME_DIR",
                                                "RUNTIME_DIRECTORY",
                                                "STATE_DIRECTORY",
                                                "CACHE_DIRECTORY",
                                                "LOGS_DIRECTORY",
                                                "CONFIGURATION_DIRECTORY",
                                                "CREDENTIALS_DIRECTORY",
                                                "LISTEN_FDS",
                                                "LISTEN_PID",
                                                "LISTEN_FDNAMES",
                                                "NOTIFY_SOCKET",
                                                "WATCHDOG_PID",
                                                "WATCHDOG_USEC",
                                                "JOURNAL_STREAM",
                                                "SYSTEMD_EXEC_PID",
                                                "TERM",
                                                "PIDFILE",
                                                "SERVICE_RESULT",
                                                "EXIT_CODE",
                                                "EXIT_STATUS"};

constexpr std::size_t usual_uses = 32;  // most units have fewer directives
constexpr std::size_t unknown_uses_max = config::diagnostics_max;

/// Diagnostics up to a bound, where no warning takes the place of an error.
class Complaints {
 public:
  void add(Diagnostic diagnostic) {
    has_error_ = has_error_ || !diagnostic.is_warning;
    if (list_.size() < config::diagnostics_max) return list_.push_back(std::move(diagnostic));
    ++left_out_;
    if (diagnostic.is_warning) return;
    const auto warning = std::find_if(list_.rbegin(), list_.rend(), [](const Diagnostic& d) { return d.is_warning; });
    if (warning != list_.rend()) *warning = std::move(diagnostic);
  }
  [[nodiscard]] bool has_error() const noexcept { return has_error_; }
  /// Whether a further warning would be shown.
  [[nodiscard]] bool has_room() const noexcept { return list_.size() < config::diagnostics_max; }
  [[nodiscard]] std::vector<Diagnostic> take() && {
    if (left_out_ > 0)
      list_.push_back({.source = list_.front().source,
                       .message = "there are " + std::to_string(left_out_) + " more; repair the ones above first",
                       .is_warning = true});
    return std::move(list_);
  }

 private:
  std::vector<Diagnostic> list_;
  std::size_t left_out_ = 0;
  bool has_error_ = false;
};

// ---- merging ------------------------------------------------------------------------------------------------------------

/// An assignment and the file it stands in.
struct Place {
  std::string_view source;
  int line;
};

Diagnostic error_at(Place place, std::string message) {
  return {.source = std::string{place.source}, .line = place.line, .message = std::move(message)};
}
Diagnostic warning_at(Place place, std::string message) {
  return {.source = std::string{place.source}, .line = place.line, .message = std::move(message), .is_warning = true};
}

bool asks_for_nothing(const Directive& directive, std::string_view value) {
  if (directive.neutral == Neutral::Never) return false;
  if (value.empty()) return true;
  if (directive.neutral == Neutral::Infinity) return value == "infinity";
  if (directive.neutral == Neutral::No) return !parse_truth(value).value_or(true);
  return directive.name == "RootDirectory" && value == "/";
}

// systemd.exec(5): with "-" before it, a security context that cannot be had is no reason not to start.
bool is_optional(const Directive& directive, std::string_view value) {
  return value.starts_with('-') && (directive.name == "SELinuxContext" || directive.name == "AppArmorProfile");
}

constexpr std::string_view refused = "the unit does not start";

class Merger {
 public:
  Merger(const UnitName& name, const Specifiers& machine, Isolation isolation)
      : load_{.spec = {.name = name}, .machine = machine, .isolation = isolation} {
    load_.spec.directives.reserve(usual_uses);
    uses_.reserve(usual_uses);
  }

  void take(const UnitSource& source) {
    config::Parsed<UnitFile> file = parse_unit_file(source.text, source.path);
    for (Diagnostic& diagnostic : file.diagnostics) complaints_.add(std::move(diagnostic));
    // Its error may be among those that were too many to be said.
    if (!file.value.is_usable && !complaints_.has_error()) refuse({source.path, 0}, "the file cannot be used");
    for (const SectionHeader& section : file.value.sections) take_header(section, source.path);
    for (const Assignment& assignment : file.value.assignments) take(assignment, {source.path, assignment.line});
  }
  void set_source_path(const std::string& path) { load_.spec.source_path = path; }

  config::Parsed<UnitSpec> finish() && {
    UnitSpec& spec = load_.spec;
    load_.has_bus_name = place_of("Service", "BusName").line != 0;
    if (spec.name.type() == UnitType::Service) complete_service(load_);
    judge_unit();
    for (const Use& use : uses_) judge(use);
    add_default_dependencies(spec);
    if (const SpecialTarget* const special = find_special_target(spec.name.text()); special && spec.description.empty())
      spec.description = special->description;
    spec.is_startable = !complaints_.has_error();
    return {std::move(spec), std::move(complaints_).take()};
  }

 private:
  /// A directive that the unit sets, with what there is to say about it when all is read.
  struct Use {
    const Directive* directive;
    std::size_t index;  ///< in UnitSpec::directives
    bool is_optional = false;
    Exception exception{};  ///< of the last value
  };

  [[nodiscard]] bool is_known_section(std::string_view name) const {
    if (name == "Unit" || name == "Install") return true;
    std::string own{suffix_of(load_.spec.name.type())};
    own.front() = static_cast<char>(own.front() - 'a' + 'A');
    return name == own;
  }

  void take_header(const SectionHeader& section, std::string_view source) {
    if (section.name == "Install") load_.spec.has_install_section = true;
    if (section.name.starts_with("X-") || is_known_section(section.name) || !complaints_.has_room()) return;
    static constexpr std::string_view names[] = {"Unit", "Service", "Install", "X-Perdure"};
    warn({source, section.line},
         "the section [" + section.name + "] has no meaning here and is left out" + did_you_mean(section.name, names));
  }

  void take(const Assignment& assignment, Place place) {
    const std::string& section = assignment.section;
    // What is not for us, by convention: systemd.unit(5).
    if ((section.starts_with("X-") && section != "X-Perdure") || assignment.key.starts_with("X-")) return;
    if (section != "X-Perdure" && !is_known_section(section)) return;
    const Directive* const directive = find_directive(section, assignment.key);
    if (directive != nullptr) return take(*directive, assignment, place);
    // Sections of other types of units: those do not start anyway.
    if (section == "Unit" || section == "Service" || section == "Install" || section == "X-Perdure")
      take_unknown(assignment, place);
  }

  void take_unknown(const Assignment& assignment, Place place) {
    if (unknown_uses_++ >= unknown_uses_max) return;
    std::vector<std::string_view> names;
    std::string_view home;
    for (const Directive& known : directives()) {
      if (known.section == assignment.section) names.push_back(known.name);
      if (known.name == assignment.key) home = known.section;
    }
    warn(place, base::escape(assignment.key) + "= is unknown in [" + assignment.section + "] and is left out" +
                    (home.empty() ? did_you_mean(assignment.key, names) : "; it belongs in [" + std::string{home} + "]"));
    load_.spec.directives.push_back({.section = assignment.section,
                                     .name = assignment.key,
                                     .outcome = Outcome::Unknown,
                                     .source = std::string{place.source},
                                     .line = place.line});
  }

  void take(const Directive& directive, const Assignment& assignment, Place place) {
    const Reader* const reader = find_reader(directive);
    if (reader == nullptr) {
      if (asks_for_nothing(directive, assignment.value)) return forget(directive);
      note(directive, place).is_optional = is_optional(directive, assignment.value);
      return;
    }
    load_.warnings.clear();
    load_.exception = {};
    load_.directive = directive.name;
    const Result<void> read = reader->read(load_, assignment.value);
    const auto object = [&directive] { return std::string{directive.name} + "=: "; };
    for (const std::string& warning : load_.warnings) warn(place, object() + warning);
    if (!read && reader->invalid == Invalid::Refuses)
      return complaints_.add(error_at(place, object() + read.error().message() + "; " + std::string{refused}));
    if (!read) return warn(place, object() + read.error().message() + "; the line is left out");
    note(directive, place).exception = std::move(load_.exception);
  }

  // The use of the directive, made or moved to its last place.
  Use& note(const Directive& directive, Place place) {
    auto use = std::find_if(uses_.begin(), uses_.end(), [&](const Use& u) { return u.directive == &directive; });
    if (use == uses_.end()) {
      load_.spec.directives.push_back({.section = std::string{directive.section},
                                       .name = std::string{directive.name},
                                       .outcome = directive.outcome,
                                       .note = std::string{directive.note}});
      use = uses_.insert(uses_.end(), {.directive = &directive, .index = load_.spec.directives.size() - 1});
    }
    DirectiveUse& shown = load_.spec.directives[use->index];
    shown.source = place.source;
    shown.line = place.line;
    return *use;
  }

  void forget(const Directive& directive) {
    const auto use = std::find_if(uses_.begin(), uses_.end(), [&](const Use& u) { return u.directive == &directive; });
    if (use == uses_.end()) return;
    const std::size_t index = use->index;
    load_.spec.directives.erase(load_.spec.directives.begin() + static_cast<std::ptrdiff_t>(index));
    uses_.erase(use);
    for (Use& other : uses_)
      if (other.index > index) --other.index;
  }

  [[nodiscard]] Place place_of(std::string_view section, std::string_view name) const {
    for (const DirectiveUse& use : load_.spec.directives)
      if (use.section == section && use.name == name) return {use.source, use.line};
    return {load_.spec.source_path, 0};
  }

  void warn(Place place, std::string message) { complaints_.add(warning_at(place, std::move(message))); }
  void refuse(Place place, const std::string& message) {
    complaints_.add(error_at(place, message + "; " + std::string{refused}));
  }

  void judge_unit() {
    const UnitName& name = load_.spec.name;
    const Place file{load_.spec.source_path, 0};
    if (name.is_template()) {
      return refuse(file, name.text() + " is a template; name an instance, as in " + std::string{name.prefix()} + "@NAME." +
                              std::string{suffix_of(name.type())});
    }
    if (name.type() == UnitType::Service) return judge_service();
    if (name.type() != UnitType::Target)
      refuse(file, "units of the type ." + std::string{suffix_of(name.type())} + " are not possible yet");
  }

  void judge_service() {
    for (const Fault& fault : faults_of_service(load_)) {
      // Where a command was there and could not be read, that has been said.
      if (fault.directive.empty() && complaints_.has_error()) continue;
      refuse(fault.directive.empty() ? Place{load_.spec.source_path, 0} : place_of("Service", fault.directive), fault.why);
    }
    const ServiceSpec& service = load_.spec.service;
    if (!service.environment_files.empty() || !service.pass_environment.empty()) return;
    warn_of_variables("ExecCondition", service.exec_condition);
    warn_of_variables("ExecStartPre", service.exec_start_pre);
    warn_of_variables("ExecStart", service.exec_start);
    warn_of_variables("ExecStartPost", service.exec_start_post);
    warn_of_variables("ExecReload", service.exec_reload);
    warn_of_variables("ExecStop", service.exec_stop);
    warn_of_variables("ExecStopPost", service.exec_stop_post);
  }

  void warn_of_variables(std::string_view directive, const std::vector<ExecCommand>& commands) {
    const auto& all = load_.spec.service.environment;
    for (const ExecCommand& command : commands) {
      for (const std::string& name : variables_of(command)) {
        const std::string prefix = name + '=';
        if (std::any_of(all.begin(), all.end(), [&](const std::string& a) { return a.starts_with(prefix); })) continue;
        if (std::find(std::begin(given_variables), std::end(given_variables), name) != std::end(given_variables)) continue;
        warn(place_of("Service", directive),
             std::string{directive} + "=: $" + base::escape(name) + " is set nowhere and stands for nothing");
      }
    }
  }

  void judge(const Use& use) {
    const Directive& directive = *use.directive;
    DirectiveUse& shown = load_.spec.directives[use.index];
    const Place place{shown.source, shown.line};
    const std::string object = std::string{directive.name} + '=';
    if (use.exception.kind != Exception::Kind::None) return judge(use.exception, shown);
    if (find_reader(directive) != nullptr) return;
    // What it stands for has been refused: faults_of_service().
    if (directive.name == "BusName" && load_.spec.service.type == ServiceType::Dbus) return;
    const bool is_strict = load_.isolation == Isolation::Strict && directive.without == Without::Isolated;
    if (is_strict) return refuse(place, object + " is not carried out yet, and strict isolation needs it");
    if (directive.without == Without::Refused && !use.is_optional)
      return refuse(place, object + " is not carried out yet; without it " + std::string{directive.note});
    warn(place, object + " is not carried out yet; the unit starts without it");
  }

  void judge(const Exception& exception, DirectiveUse& shown) {
    const Place place{shown.source, shown.line};
    const std::string object = shown.name + "=: ";
    shown.note = exception.what;
    shown.outcome = exception.kind == Exception::Kind::Emulated ? Outcome::Emulated : Outcome::NotYet;
    if (exception.kind == Exception::Kind::Emulated) return warn(place, object + exception.what);
    if (exception.kind == Exception::Kind::Refused) return refuse(place, object + exception.what + " is not possible yet");
    warn(place, object + exception.what + " is not carried out yet; the unit starts without it");
  }

  Load load_;
  Complaints complaints_;
  std::vector<Use> uses_;
  std::size_t unknown_uses_ = 0;
};

}  // namespace

const Reader* find_reader(const Directive& directive) {
  static const std::vector<const Reader*> by_directive = [] {
    std::vector<const Reader*> readers(directives().size());
    for (const auto part : {unit_readers(), service_readers(), exec_readers(), stream_readers(), rights_readers()}) {
      for (const Reader& reader : part) {
        const Directive* const read = find_directive(reader.section, reader.name);
        PERDURE_ASSERT(read != nullptr, "what is read is a directive");
        readers[static_cast<std::size_t>(read - directives().data())] = &reader;
      }
    }
    return readers;
  }();
  return by_directive[static_cast<std::size_t>(&directive - directives().data())];
}

config::Parsed<UnitSpec> load_unit(const UnitName& name, std::span<const UnitSource> sources, const Specifiers& machine,
                                   Isolation isolation) {
  Merger merger{name, machine, isolation};
  if (!sources.empty()) merger.set_source_path(sources.front().path);
  for (const UnitSource& source : sources) merger.take(source);
  return std::move(merger).finish();
}

}  // namespace perdure::unit
