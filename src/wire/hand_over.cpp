#include "wire/hand_over.hpp"

#include <array>
#include <optional>

#include <fmt/core.h>

#include "base/text.hpp"

namespace perdure::wire {
namespace {

constexpr std::string_view magic = "perdure hand-over";
constexpr std::array<std::string_view, 5> kinds{"lock", "control", "listener", "socket", "error-output"};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::optional<std::string_view> text() {
    const auto end = rest_.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view field = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return field;
  }
  template <class T>
  std::optional<T> number() {
    const auto field = text();
    return field ? base::parse_number<T>(*field) : std::nullopt;
  }
  std::optional<HandOver::Kind> kind() {
    const auto field = text();
    for (std::size_t i = 0; field && i < kinds.size(); ++i)
      if (*field == kinds[i]) return static_cast<HandOver::Kind>(i);
    return std::nullopt;
  }
  [[nodiscard]] bool is_at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::optional<HandOver::Item> read_item(Reader& reader) {
  const auto kind = reader.kind();
  const auto name = reader.text(), address = reader.text();
  const auto device = reader.number<std::uint64_t>(), inode = reader.number<std::uint64_t>();
  if (!kind || !name || !address || !device || !inode) return std::nullopt;
  return HandOver::Item{*kind, std::string{*name}, std::string{*address}, *device, *inode};
}

std::optional<HandOver> read_offer(Reader& reader, std::size_t descriptors) {
  const auto pid = reader.number<std::int64_t>();
  const auto program = reader.text();
  const auto detached = reader.number<unsigned>();
  const auto rights = reader.text();
  const auto count = reader.number<std::size_t>();
  if (!pid || *pid <= 0 || !program || !program->starts_with('/') || !detached || *detached > 1 || !rights ||
      count != descriptors || descriptors > hand_over_items_max)
    return std::nullopt;
  HandOver offer{*pid, std::string{*program}, *detached == 1, std::string{*rights}, {}};
  for (std::size_t i = 0; i < descriptors; ++i) {
    auto item = read_item(reader);
    if (!item) return std::nullopt;
    offer.items.push_back(*std::move(item));
  }
  if (!reader.is_at_end()) return std::nullopt;
  return offer;
}

}  // namespace

std::string compose_hand_over(const HandOver& offer) {
  std::string bytes;
  const auto field = [&bytes](std::string_view text) {
    bytes += text;
    bytes += '\0';
  };
  field(magic);
  field(std::to_string(hand_over_version));
  field(std::to_string(offer.pid));
  field(offer.program);
  field(offer.is_detached ? "1" : "0");
  field(offer.rights);
  field(std::to_string(offer.items.size()));
  for (const HandOver::Item& item : offer.items) {
    field(kinds[static_cast<std::size_t>(item.kind)]);
    field(item.name);
    field(item.address);
    field(std::to_string(item.device));
    field(std::to_string(item.inode));
  }
  return bytes;
}

Result<HandOver> parse_hand_over(std::string_view bytes, std::size_t descriptors) {
  Reader reader{bytes};
  const auto word = reader.text();
  const auto version = reader.number<unsigned>();
  if (!word || *word != magic || !version) return Error{"what came is no hand-over of a daemon"};
  if (*version != hand_over_version)
    return Error{fmt::format("the running daemon hands over in version {}, this program takes version {}: restart instead",
                             *version, hand_over_version)};
  auto offer = read_offer(reader, descriptors);
  if (!offer) return Error{fmt::format("the hand-over with {} descriptors is damaged", descriptors)};
  return *std::move(offer);
}

}  // namespace perdure::wire
