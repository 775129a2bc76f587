// A daemon as a class: run() is the work, the rest may be left as it is.
#include <perdure/service.hpp>

#include <atomic>
#include <fstream>
#include <stdexcept>

using namespace std::chrono_literals;

class Counter : public perdure::Service {
  void start() override {
    file_.open("count", std::ios::app);
    if (!file_) throw std::runtime_error{"cannot open count"};
  }
  void run(perdure::Context& ctx) override {
    while (ctx.wait(step_)) file_ << ++count_ << std::endl;
  }
  void reload() override {
    count_ = 0;
    log().info("counting from the start");
  }
  perdure::Health health() override {
    return file_.good() ? perdure::Health::good() : perdure::Health::bad("count cannot be written");
  }
  void stop() override { log().info("counted to {}", count_.load()); }

  std::ofstream file_;
  std::atomic<int> count_{0};
  std::chrono::milliseconds step_{20};
};

int main(int argc, char** argv) {
  return Counter{}.main(argc, argv, {.name = "counter", .working_directory = "/var/lib/counter"});
}
