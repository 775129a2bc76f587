#include <atomic>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/settings.hpp"

namespace {

using perdure::Commit;
using perdure::Config;
using perdure::Error;
using perdure::Rejected;
using perdure::Result;
using testing::ElementsAre;
using testing::IsEmpty;

struct Pair {
  int a = 1;
  int b = 1;
  std::string device = "x";
  std::string token = "old";
};
void describe(perdure::Fields& f, Pair& p) {
  f("a", p.a).range(0, 1'000'000).help("the one");
  f("b", p.b);
  f("device", p.device).restart_only();
  f("token", p.token).secret().restart_only();
}

perdure::detail::SettingSources file(std::string text) { return {.file_name = "f", .file_text = std::move(text)}; }

// Load, ask, commit; the reason where it was refused.
std::string reload(Config<Pair>& config, const std::string& text) {
  auto candidate = config.load(file(text), true);
  if (!candidate.diagnostics.empty()) return candidate.diagnostics.front().text();
  if (auto asked = config.ask_hooks(candidate); !asked) return asked.error().message();
  config.commit(std::move(candidate));
  return {};
}

TEST(Config, HasTheDefaultsAndGenerationZeroBeforeTheFirstLoad) {
  const Config<Pair> config;
  EXPECT_EQ(config->a, 1);
  EXPECT_EQ(config.generation(), 0u);
}

TEST(Config, LoadChangesNothingAndCommitDoes) {
  Config<Pair> config;
  const auto before = config.get();
  auto candidate = config.load(file("a = 2\n"), false);
  EXPECT_THAT(candidate.changed, ElementsAre("a"));
  EXPECT_EQ(config->a, 1);
  config.commit(std::move(candidate));
  EXPECT_EQ(config->a, 2);
  EXPECT_EQ(config.generation(), 1u);
  EXPECT_EQ(before->a, 1) << "a snapshot never changes";
}

TEST(Config, ALoadStartsFromTheDefaultsAndNotFromWhatIsInForce) {
  Config<Pair> config;
  EXPECT_EQ(reload(config, "a = 2\n"), "");
  EXPECT_EQ(reload(config, "b = 3\n"), "");
  EXPECT_EQ(config->a, 1);
  EXPECT_EQ(config->b, 3);
}

TEST(Config, ABadFileLeavesTheOldSettingsInForce) {
  Config<Pair> config;
  EXPECT_EQ(reload(config, "a = 5\n"), "");
  EXPECT_EQ(reload(config, "a = many\n"), "f:1:5: a: \"many\" is not an integer; wanted: 0 to 1000000");
  EXPECT_EQ(config->a, 5);
  EXPECT_EQ(config.generation(), 1u);
}

TEST(Config, OnlyAReloadRefusesWhatNeedsARestartSecretsIncluded) {
  Config<Pair> config;
  EXPECT_THAT(config.load(file("device = y\ntoken = new\n"), false).diagnostics, IsEmpty());
  EXPECT_EQ(reload(config, "device = y\n"), "f: device can only be changed by a restart");
  EXPECT_EQ(reload(config, "token = new\n"), "f: token can only be changed by a restart");
}

TEST(Config, ValidateSeesWholeSettingsAndItsExceptionIsARefusal) {
  Config<Pair> config;
  config.validate([](const Pair& p) -> Result<void> {
    if (p.a == 13) throw std::runtime_error{"unlucky"};
    if (p.a > p.b) return Error{"a must not be above b"};
    return {};
  });
  EXPECT_EQ(reload(config, "a = 2\nb = 3\n"), "");
  EXPECT_EQ(reload(config, "a = 4\nb = 3\n"), "f: a must not be above b");
  EXPECT_EQ(reload(config, "a = 13\n"), "f: the check of the settings threw: unlucky");
  EXPECT_EQ(config->b, 3);
}

TEST(Config, HooksSeeBothAndTheirCommitsRunOnceAllHaveAccepted) {
  Config<Pair> config;
  std::vector<std::string> story;
  config.on_reload([&](const Pair& was, const Pair& now) -> Commit {
    story.push_back("asked " + std::to_string(was.a) + " to " + std::to_string(now.a));
    return [&]() noexcept { story.push_back("committed with " + std::to_string(config->a)); };
  });
  config.on_reload([&](const Pair&, const Pair& now) -> Commit {
    if (now.a == 3) throw Rejected{"no threes"};
    return {};
  });
  EXPECT_EQ(reload(config, "a = 2\n"), "");
  EXPECT_THAT(story, ElementsAre("asked 1 to 2", "committed with 2"));
  story.clear();
  EXPECT_EQ(reload(config, "a = 3\n"), "no threes");
  EXPECT_THAT(story, ElementsAre("asked 2 to 3")) << "a veto drops the others' commits";
  EXPECT_EQ(config->a, 2);
  EXPECT_EQ(config.generation(), 1u);
}

TEST(Config, AnyExceptionOfAHookIsARefusal) {
  Config<Pair> config;
  config.on_reload([](const Pair&, const Pair& now) -> Commit {
    if (now.a == 2) throw std::runtime_error{"port is taken"};
    throw 5;
  });
  EXPECT_EQ(reload(config, "a = 2\n"), "port is taken");
  EXPECT_EQ(reload(config, "a = 3\n"), "a reload hook threw something that is not a std::exception");
  EXPECT_EQ(config.generation(), 0u);
}

struct Reader {
  Config<Reader>* config = nullptr;
  int n = 0;
  Reader() = default;
  Reader(const Reader&) = default;
  ~Reader() {
    if (config != nullptr) (void)config->get();
  }
};
void describe(perdure::Fields& f, Reader& r) { f("n", r.n); }

TEST(Config, TheOldSnapshotIsDestroyedWhereItsDestructorMayReadSettings) {
  Config<Reader> config;
  for (int i = 0; i < 3; ++i) {
    auto candidate = config.load({}, false);
    std::const_pointer_cast<Reader>(std::static_pointer_cast<const Reader>(candidate.snapshot))->config = &config;
    config.commit(std::move(candidate));
  }
  auto last = config.load({}, false);
  config.commit(std::move(last));
  EXPECT_EQ(config.generation(), 4u);
}

TEST(Config, ReadersNeverSeeHalfAReload) {
  Config<Pair> config;
  constexpr int reloads = 1000;
  std::atomic<bool> is_over{false};
  std::atomic<int> torn{0};
  std::vector<std::jthread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([&] {
      int last = 0;
      while (!is_over) {
        const auto now = config.get();
        if (now->a != now->b || now->a < last) ++torn;
        last = now->a;
      }
    });
  for (int i = 2; i < reloads + 2; ++i) {
    const std::string n = std::to_string(i);
    EXPECT_EQ(reload(config, "a = " + n + "\nb = " + n + "\n"), "");
    EXPECT_NE(reload(config, "a = " + n + "\nb = nonsense\n"), "");
  }
  is_over = true;
  readers.clear();
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(config.generation(), static_cast<std::uint64_t>(reloads));
}

TEST(Config, TellsTheCommandLineWhatItsFieldsAre) {
  const Config<Pair> config;
  const auto fields = config.fields();
  ASSERT_EQ(fields.size(), 4u);
  EXPECT_EQ(fields[0].type, "integer, 0 to 1000000");
  EXPECT_EQ(fields[0].help, "the one (default: 1)");
  EXPECT_EQ(fields[3].help, "") << "a secret's default is a secret";
  EXPECT_FALSE(fields[0].parse);
}

TEST(Config, PrintsWhatIsInForceAndWhatIsOffered) {
  Config<Pair> config;
  const auto candidate = config.load(file("a = 2\ntoken = tell-nobody\n"), false);
  EXPECT_THAT(config.print(), testing::HasSubstr("\na = 1\n"));
  EXPECT_THAT(config.print(candidate), testing::HasSubstr("\na = 2\n"));
  EXPECT_EQ(config.print(candidate).find("tell-nobody"), std::string::npos);
}

TEST(ConfigRef, MayBeAbsent) {
  Config<Pair> config;
  EXPECT_EQ(perdure::ConfigRef{}.get(), nullptr);
  EXPECT_EQ(perdure::ConfigRef{config}.get(), &config);
}

}  // namespace
