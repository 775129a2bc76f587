// ConfigRef: the settings that run() is to load, without what it costs to compile settings.hpp.
//
// Thread, fork and signal safety: a plain pointer; what it points to outlives run().
#pragma once

namespace perdure {

namespace detail {
class ConfigBase;
}

template <class T>
class Config;

/// A reference to a Config that may be absent: the type of Options::config. Include settings.hpp to have a Config.
class ConfigRef {
 public:
  ConfigRef() = default;
  template <class T>
  ConfigRef(Config<T>& config) : config_(&config) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] detail::ConfigBase* get() const noexcept { return config_; }

 private:
  detail::ConfigBase* config_ = nullptr;
};

}  // namespace perdure
