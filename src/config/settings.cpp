// Fields, and what is done with them whatever struct they describe: filling, checking, printing, comparing.
#include "perdure/settings.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <tuple>

#include "base/text.hpp"
#include "config/ini.hpp"

namespace perdure {
namespace {

using config::IniEntry;
using config::IniFile;
using config::IniSection;
using detail::FieldEntry;

constexpr std::string_view redacted = "***";

bool is_name(std::string_view text) {
  return !text.empty() && base::is_lower(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return base::is_lower(c) || base::is_digit(c) || c == '_'; });
}

/// "tls" of "tls.cert"; empty for what is in no section.
std::string_view section_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot);
}

std::string_view key_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates,
                         std::string_view open = "\"", std::string_view close = "\"") {
  const auto near = base::closest(word, candidates);
  return near ? "; did you mean " + std::string{open} + std::string{*near} + std::string{close} + '?' : std::string{};
}

// Where a value came from. Sources are ordered as they override each other.
struct Origin {
  enum class Source { File, Environment, CommandLine };
  Source source = Source::File;
  int line = 0;
  int column = 0;
  std::string name{};  // of the field as the source calls it: "port", "THERMOD_PORT", "--port"
};

struct Value {
  std::string_view text;
  bool is_quoted = false;
};

class Loader {
 public:
  Loader(Fields& fields, const detail::SettingSources& sources) : sources_(sources) {
    for (auto& entry : fields.entries()) {
      by_name_.emplace(entry->name, slots_.size());
      slots_.push_back({.entry = entry.get(), .origin = {.name = entry->name}});
    }
  }

  std::vector<Diagnostic> load() && {
    if (sources_.file_text) read_file(*sources_.file_text);
    for (const auto& [name, value] : sources_.environment) read_variable(name, value);
    for (const auto& [flag, value] : sources_.command_line) read_option(flag, value);
    for (Slot& slot : slots_) check(slot);
    return sorted_faults();
  }

 private:
  struct Slot {
    FieldEntry* entry;
    Origin origin{};
    std::string text{};      // as it was given last; only to keep it out of messages
    bool is_set = false;     // by any source
    bool is_faulty = false;  // its value was refused already
  };
  struct Fault {
    Origin origin;
    std::string message;
  };

  void fault(Origin origin, std::string message) {
    if (faults_.size() <= config::diagnostics_max) faults_.push_back({std::move(origin), std::move(message)});
  }

  void read_file(const std::string& text) {
    auto parsed = config::parse_ini(text, sources_.file_name);
    for (Diagnostic& d : parsed.diagnostics) fault({.line = d.line, .column = d.column}, std::move(d.message));
    for (const IniSection& section : parsed.value.sections) {
      if (!section.name.empty() && !is_known_section(section.name)) {
        fault({.line = section.line, .column = section.column}, unknown_section(section.name));
        continue;
      }
      for (const IniEntry& entry : section.entries) {
        if (faults_.size() > config::diagnostics_max) return;  // nothing more would be shown
        read_entry(section, entry);
      }
    }
  }

  void read_entry(const IniSection& section, const IniEntry& entry) {
    const std::string name = section.name.empty() ? entry.key : section.name + '.' + entry.key;
    const auto known = by_name_.find(name);
    // A key with a dot would be a second way to write [section] key.
    if (known == by_name_.end() || entry.key.find('.') != std::string::npos)
      return fault({.line = entry.line, .column = entry.key_column}, unknown_key(section.name, entry.key));
    Slot& slot = slots_[known->second];
    if (slot.is_set && !slot.entry->repeatable)
      return fault({.line = entry.line, .column = entry.key_column},
                   name + " is set twice; the first time in line " + std::to_string(slot.origin.line));
    give(slot, {.line = entry.line, .column = entry.value_column, .name = name}, {entry.value, entry.is_quoted});
  }

  void read_variable(const std::string& name, const std::string& value) {
    for (Slot& slot : slots_)
      if (slot.entry->env == name) give(slot, {.source = Origin::Source::Environment, .name = name}, {value});
  }

  void read_option(const std::string& flag, const std::string& value) {
    for (Slot& slot : slots_) {
      if (slot.entry->flag != flag) continue;
      const bool is_bare_flag = value.empty() && slot.entry->type == detail::type_name<bool>() && !slot.entry->clear;
      return give(slot, {.source = Origin::Source::CommandLine, .name = flag}, {is_bare_flag ? "yes" : value});
    }
    std::vector<std::string_view> flags;
    for (const Slot& slot : slots_)
      if (!slot.entry->flag.empty()) flags.push_back(slot.entry->flag);
    fault({.source = Origin::Source::CommandLine}, "unknown option " + base::quote(flag) + did_you_mean(flag, flags));
  }

  void give(Slot& slot, Origin origin, Value value) {
    FieldEntry& entry = *slot.entry;
    const bool continues = slot.is_set && slot.origin.source == origin.source;
    if (entry.repeatable && !continues) entry.clear();  // a source that speaks of a list replaces what was below it
    slot.is_faulty = slot.is_faulty && continues;
    slot.is_set = true;
    slot.origin = std::move(origin);
    slot.text = value.text;
    if (entry.clear && value.text.empty() && !value.is_quoted) return entry.clear();
    if (entry.secret && value.text == redacted)
      return refuse(slot, Error{"*** only stands for a secret that was not shown; write the secret itself"});
    if (auto parsed = entry.parse(value.text); !parsed) refuse(slot, parsed.error());
  }

  void refuse(Slot& slot, const Error& error) {
    slot.is_faulty = true;
    fault(slot.origin, slot.origin.name + ": " + reason(slot, error));
  }

  // What parsing said, made to fit the field: no secrets, and the field's own range instead of its type's.
  static std::string reason(const Slot& slot, const Error& error) {
    const FieldEntry& entry = *slot.entry;
    const std::string wanted = entry.range_text.empty() ? entry.type : entry.type + ", " + entry.range_text;
    if (slot.text == redacted && entry.secret) return error.message();
    if (entry.secret) return "the value is not valid; wanted: " + wanted;
    if (slot.text.empty()) return "the value is missing; wanted: " + wanted;
    if (entry.range_text.empty()) return error.message();
    if (error.code() == ERANGE) return error.message().substr(0, error.message().rfind(": ") + 2) + entry.range_text;
    return error.message() + "; wanted: " + entry.range_text;
  }

  void check(Slot& slot) {
    if (slot.is_faulty) return;
    for (const auto& predicate : slot.entry->checks) {
      std::string complaint;
      try {
        auto checked = predicate();
        if (checked) continue;
        complaint = checked.error().message();
      } catch (const std::exception& e) {
        complaint = std::string{"the check threw: "} + e.what();
      } catch (...) {
        complaint = "the check threw something that is not a std::exception";
      }
      if (slot.entry->secret && shows_value(slot, complaint)) {
        complaint = "the value is refused, and the reason would show it";
        if (!slot.entry->range_text.empty()) complaint += "; wanted: " + slot.entry->range_text;
      }
      return fault(slot.origin, slot.origin.name + ": " + complaint);
    }
  }

  static bool shows_value(const Slot& slot, const std::string& text) {
    const auto shows = [&text](const std::string& value) { return !value.empty() && text.find(value) != std::string::npos; };
    const auto printed = slot.entry->print();
    return shows(slot.text) || shows(base::escape(slot.text)) || std::any_of(printed.begin(), printed.end(), shows);
  }

  bool is_known_section(std::string_view name) const {
    return std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
      std::string_view field = slot.entry->name;
      return base::remove_prefix(field, name) && field.starts_with('.');
    });
  }

  std::string unknown_section(std::string_view name) const {
    std::vector<std::string_view> sections;
    for (const Slot& slot : slots_)
      if (const auto section = section_of(slot.entry->name); !section.empty()) sections.push_back(section);
    return "unknown section [" + base::escape(name.substr(0, 80)) + ']' + did_you_mean(name, sections, "[", "]");
  }

  std::string unknown_key(std::string_view section, std::string_view key) const {
    const std::string message =
        "unknown setting " + base::quote(key) + (section.empty() ? "" : " in [" + std::string{section} + ']');
    std::vector<std::string_view> here;
    std::string elsewhere;
    for (const Slot& slot : slots_) {
      const std::string_view name = slot.entry->name;
      if (section_of(name) == section) here.push_back(key_of(name));
      else if (key_of(name) == key || name == key)
        elsewhere = section_of(name).empty() ? "before the first section" : "in [" + std::string{section_of(name)} + ']';
    }
    return message + (elsewhere.empty() ? did_you_mean(key, here) : "; it belongs " + elsewhere);
  }

  std::vector<Diagnostic> sorted_faults() {
    std::stable_sort(faults_.begin(), faults_.end(), [](const Fault& a, const Fault& b) {
      return std::tie(a.origin.source, a.origin.line, a.origin.column) <
             std::tie(b.origin.source, b.origin.line, b.origin.column);
    });
    config::Faults list;
    for (Fault& f : faults_)
      list.add({.source = name_of(f.origin.source),
                .line = f.origin.line,
                .column = f.origin.column,
                .message = std::move(f.message)});
    return std::move(list).take();
  }

  std::string name_of(Origin::Source source) const {
    switch (source) {
      case Origin::Source::Environment: return "environment";
      case Origin::Source::CommandLine: return "command line";
      case Origin::Source::File: break;
    }
    return sources_.file_name;
  }

  const detail::SettingSources& sources_;
  std::vector<Slot> slots_;
  std::map<std::string_view, std::size_t, std::less<>> by_name_;
  std::vector<Fault> faults_;
};

// Two fields that answer to one name would each take the other's values.
void require_one_answer(const Fields& fields) {
  std::map<std::string_view, std::string_view> owners;
  for (const auto& entry : fields.entries()) {
    if (!entry->flag.empty() && (!entry->flag.starts_with("--") || entry->flag.size() < 3))
      detail::misdescribed(entry->name, "its option does not begin with --");
    for (const std::string_view name : {std::string_view{entry->env}, std::string_view{entry->flag}})
      if (!name.empty() && !owners.emplace(name, entry->name).second)
        detail::misdescribed(entry->name, "its option or environment variable is another field's too");
  }
}

void print_entry(std::string& out, const FieldEntry& entry) {
  std::string facts = entry.type;
  if (!entry.range_text.empty()) facts += ", " + entry.range_text;
  if (entry.repeatable) facts += ", any number of lines";
  if (!entry.env.empty()) facts += "; environment " + entry.env;
  if (!entry.flag.empty()) facts += "; option " + entry.flag;
  if (entry.restart_only) facts += "; changes need a restart";
  for (const std::string_view line : base::lines(entry.help)) out += "# " + base::escape(line) + '\n';
  out += "# (" + base::escape(facts) + ")\n";

  const std::string_view key = key_of(entry.name);
  const auto print_line = [&](std::string_view value) {
    out += key;
    out += value.empty() ? " =" : " = ";
    out += value;
    out += '\n';
  };
  if (entry.secret) return print_line(redacted);
  const auto values = entry.print();
  if (values.empty()) print_line({});
  for (const std::string& value : values) print_line(value);
}

}  // namespace

detail::FieldEntry& Fields::add(std::string_view name, std::string type) {
  const std::string full = prefix_ + std::string{name};
  for (const std::string_view part : base::split(full, '.'))
    if (!is_name(part)) detail::misdescribed(full, "names are made of a-z, 0-9 and _, and begin with a letter");
  if (!is_name(name)) detail::misdescribed(full, "a dot is for section(), not for names");
  for (const auto& entry : entries_)
    if (entry->name == full) detail::misdescribed(full, "it is described twice");
  entries_.push_back(std::make_unique<detail::FieldEntry>());
  entries_.back()->name = full;
  entries_.back()->type = std::move(type);
  return *entries_.back();
}

std::string Diagnostic::text() const {
  std::string out;
  if (!source.empty()) out += base::escape(source) + ':';
  if (line > 0) out += std::to_string(line) + ':';
  if (line > 0 && column > 0) out += std::to_string(column) + ':';
  if (!out.empty()) out += ' ';
  if (is_warning) out += "warning: ";
  return out + base::escape(message);
}

namespace detail {

void misdescribed(std::string_view field, std::string_view what) noexcept {
  std::fprintf(stderr, "perdure: describe() is wrong about the field \"%.*s\": %.*s\n", static_cast<int>(field.size()),
               field.data(), static_cast<int>(what.size()), what.data());
  std::abort();
}

std::vector<Diagnostic> apply(Fields& fields, const SettingSources& sources) {
  require_one_answer(fields);
  return Loader{fields, sources}.load();
}

std::string print_settings(const Fields& fields) {
  // Sections stand in the order of their first fields. What is in none comes first, or it would be in the last one.
  std::vector<std::string_view> sections{std::string_view{}};
  for (const auto& entry : fields.entries())
    if (const auto name = section_of(entry->name); std::find(sections.begin(), sections.end(), name) == sections.end())
      sections.push_back(name);
  std::string out;
  for (const std::string_view section : sections) {
    if (!section.empty()) out += (out.empty() ? "[" : "\n[") + std::string{section} + "]\n";
    bool is_first = true;
    for (const auto& entry : fields.entries()) {
      if (section_of(entry->name) != section) continue;
      if (!is_first) out += '\n';
      is_first = false;
      print_entry(out, *entry);
    }
  }
  return out;
}

std::vector<std::string> changed(const Fields& was, const Fields& now) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < now.entries().size(); ++i) {
    const FieldEntry& entry = *now.entries()[i];
    const bool is_comparable = i < was.entries().size() && was.entries()[i]->name == entry.name;
    if (!is_comparable || was.entries()[i]->print() != entry.print()) names.push_back(entry.name);
  }
  return names;
}

std::vector<std::string> changed_restart_only(const Fields& was, const Fields& now) {
  std::vector<std::string> names = changed(was, now);
  std::erase_if(names, [&now](const std::string& name) {
    return std::none_of(now.entries().begin(), now.entries().end(),
                        [&name](const auto& entry) { return entry->name == name && entry->restart_only; });
  });
  return names;
}

}  // namespace detail
}  // namespace perdure
