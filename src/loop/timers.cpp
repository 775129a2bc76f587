#include "loop/timers.hpp"

namespace perdure::loop {

void Timers::arm(Token token, Instant deadline) {
  disarm(token);
  const Place place{deadline, armed_so_far_++};
  by_deadline_.emplace(place, token);
  armed_.emplace(token, place);
}

void Timers::disarm(Token token) {
  const auto armed = armed_.find(token);
  if (armed == armed_.end()) return;
  by_deadline_.erase(armed->second);
  armed_.erase(armed);
}

std::optional<Instant> Timers::next() const {
  if (by_deadline_.empty()) return std::nullopt;
  return by_deadline_.begin()->first.first;
}

std::vector<Token> Timers::take_due(Instant now) {
  std::vector<Token> due;
  while (!by_deadline_.empty() && by_deadline_.begin()->first.first <= now) {
    due.push_back(by_deadline_.begin()->second);
    disarm(due.back());
  }
  return due;
}

}  // namespace perdure::loop
