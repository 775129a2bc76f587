// Says one line at each level and one with fields, then serves: to stderr as its environment expects, or with --to-journal in
// journald's own protocol.
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>

namespace {

struct Settings {
  bool to_journal = false;
};

void describe(perdure::Fields& f, Settings& s) { f("to_journal", s.to_journal).flag("--to-journal").restart_only(); }

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{.name = "log-probe",
                                 .config = config,
                                 .configure =
                                     [&](perdure::Options& o) {
                                       o.log.level = perdure::Level::Debug;
                                       if (config->to_journal) o.log.target = perdure::LogTarget::Journal;
                                     },
                                 .heartbeat = std::chrono::hours{1}};
  return perdure::run(argc, argv, options, [](perdure::Context& ctx) {
    ctx.log().debug("at level debug");
    ctx.log().info("at level info");
    ctx.log().warning("at level warning");
    ctx.log().error("at level error");
    ctx.log().critical("at level critical");
    ctx.log().info("with fields", {{"account", "al\nice"}, {"port", 22}, perdure::LogField::secret("token")});
    while (ctx.wait(std::chrono::hours{1})) continue;
  });
}
