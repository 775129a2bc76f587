#include <algorithm>
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/load_unit_testing.hpp"

namespace perdure::unit {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace testing;

TEST(LoadUnit, ReadsAnOrdinaryService) {
  const Loaded loaded = load({R"([Unit]
Description=A web server on %n
Documentation=man:web(8) https://example.org/
Wants=network.target
Requires=db.service
After=network.target db.service network.target
Before=shop.service
StartLimitIntervalSec=1min
StartLimitBurst=3

[Service]
Type=exec
ExecStart=/usr/bin/web --port ${PORT}
User=www-data
Group=33
SupplementaryGroups=ssl-cert adm
Environment=PORT=80 "MOTTO=a b"
Environment=PORT=8080
Restart=on-failure
RestartSec=250ms
TimeoutStopSec=5
KillMode=mixed
KillSignal=SIGINT
SuccessExitStatus=3 SIGUSR1
LimitNOFILE=1024:65536
Nice=-5
OOMScoreAdjust=100
UMask=0027
WorkingDirectory=-/srv/web
StandardOutput=append:%t/web.log
NoNewPrivileges=yes
IgnoreSIGPIPE=no

[Install]
WantedBy=multi-user.target
)"});
  EXPECT_THAT(texts(loaded), IsEmpty());
  const UnitSpec& unit = loaded.value;
  EXPECT_TRUE(unit.is_startable);
  EXPECT_EQ(unit.description, "A web server on web.service");
  EXPECT_THAT(unit.documentation, ElementsAre("man:web(8)", "https://example.org/"));
  EXPECT_THAT(names(unit.wants), ElementsAre("network.target"));
  EXPECT_THAT(names(unit.requires_), ElementsAre("db.service", "sysinit.target"));
  EXPECT_THAT(names(unit.after), ElementsAre("network.target", "db.service", "sysinit.target", "basic.target"));
  EXPECT_THAT(names(unit.before), ElementsAre("shop.service", "shutdown.target"));
  EXPECT_TRUE(unit.has_install_section);

  const ServiceSpec& s = unit.service;
  EXPECT_EQ(s.type, ServiceType::Exec);
  EXPECT_THAT(s.exec_start.at(0).argv, ElementsAre("/usr/bin/web", "--port", "${PORT}"));
  EXPECT_EQ(s.user, "www-data");
  EXPECT_EQ(s.group, "33");
  EXPECT_THAT(s.supplementary_groups, ElementsAre("ssl-cert", "adm"));
  EXPECT_THAT(s.environment, ElementsAre("PORT=8080", "MOTTO=a b"));
  EXPECT_EQ(s.restart, RestartWhen::OnFailure);
  EXPECT_EQ(s.restart_sec, 250ms);
  EXPECT_EQ(s.timeout_start, base::Duration{90s});
  EXPECT_EQ(s.timeout_stop, base::Duration{5s});
  EXPECT_EQ(s.start_limit_interval, 1min);
  EXPECT_EQ(s.start_limit_burst, 3U);
  EXPECT_EQ(s.kill_mode, KillMode::Mixed);
  EXPECT_EQ(s.kill_signal, SIGINT);
  EXPECT_THAT(s.success_status.codes, ElementsAre(3));
  EXPECT_THAT(s.success_status.signals, ElementsAre(SIGUSR1));
  EXPECT_EQ(s.limits.at(static_cast<std::size_t>(Limit::OpenFiles)), (LimitValue{.soft = 1024, .hard = 65536}));
  EXPECT_EQ(s.nice, -5);
  EXPECT_EQ(s.oom_score_adjust, 100);
  EXPECT_EQ(s.umask, 027U);
  EXPECT_EQ(s.working_directory.path, "/srv/web");
  EXPECT_TRUE(s.working_directory.ignores_missing);
  EXPECT_EQ(s.standard_output, (Output{.kind = OutputKind::Append, .path = "/run/web.log"}));
  EXPECT_EQ(s.standard_error.kind, OutputKind::Inherit);
  EXPECT_TRUE(s.no_new_privileges);
  EXPECT_FALSE(s.ignore_sigpipe);
}

TEST(LoadUnit, LetsALaterTextTakeBackWhatAnEarlierOneGave) {
  const Loaded loaded =
      load({"[Unit]\nAfter=a.service\n[Service]\nExecStart=/bin/old\nEnvironment=A=1\nUser=me\nNice=5\n"
            "SuccessExitStatus=3\nWorkingDirectory=/x\nSupplementaryGroups=a\nPrivateTmp=yes\nExecStop=/bin/y\n",
            "[Unit]\nAfter=\nAfter=b.service\n[Service]\nExecStart=\nExecStart=/bin/new\nEnvironment=\n"
            "Environment=B=2\nUser=\nNice=\nSuccessExitStatus=\nWorkingDirectory=\nSupplementaryGroups=\n"
            "PrivateTmp=no\nExecStop=\n"});
  EXPECT_THAT(texts(loaded), IsEmpty());
  const ServiceSpec& s = loaded.value.service;
  ASSERT_EQ(s.exec_start.size(), 1U);
  EXPECT_EQ(s.exec_start[0].path, "/bin/new");
  EXPECT_THAT(s.environment, ElementsAre("B=2"));
  EXPECT_EQ(s.user, "");
  EXPECT_FALSE(s.nice);
  EXPECT_THAT(s.success_status.codes, IsEmpty());
  EXPECT_EQ(s.working_directory.path, "");
  EXPECT_THAT(s.supplementary_groups, IsEmpty());
  // systemd.unit(5): dependencies cannot be reset.
  EXPECT_THAT(names(loaded.value.after), ElementsAre("a.service", "b.service", "sysinit.target", "basic.target"));
}

TEST(LoadUnit, NeedsExactlyOneCommand) {
  EXPECT_FALSE(load({"[Service]\nType=exec\n"}).value.is_startable);
  EXPECT_EQ(load({"[Service]\n"}).value.service.type, ServiceType::Oneshot);  // as systemd takes it
  EXPECT_THAT(texts(load({""})), ElementsAre("/u/web.service: ExecStart= is missing; the unit does not start"));
  EXPECT_FALSE(load_service("ExecStart=/bin/y").value.is_startable);
  EXPECT_FALSE(load({"[Service]\nExecStart=/bin/x ; /bin/y"}).value.is_startable);
}

TEST(LoadUnit, KnowsEveryTypeAndRefusesTheOneItCannotDoYet) {
  for (const char* type : {"simple", "exec", "forking", "oneshot", "notify", "idle"}) {
    const Loaded loaded = load_service("Type=" + std::string{type});
    EXPECT_TRUE(loaded.value.is_startable) << type;
    EXPECT_EQ(word_of(loaded.value.service.type), type);
  }
  EXPECT_THAT(texts(load_service("Type=dbus\nBusName=org.x\n")),
              ElementsAre("/u/web.service:3: Type=dbus is not possible yet; the unit does not start"));
  EXPECT_FALSE(load_service("BusName=org.x").value.is_startable);
  EXPECT_EQ(load_service("BusName=org.x").value.service.type, ServiceType::Dbus);
  EXPECT_EQ(service("Type=exec\nType=Simple").type, ServiceType::Exec);
}

TEST(LoadUnit, NeverStartsAUnitWithMoreRightsThanItAskedFor) {
  for (const char* line : {"User=0day",
                           "User=%F",
                           "Group=a:b",
                           "SupplementaryGroups=a -1",
                           "NoNewPrivileges=maybe",
                           "UMask=9",
                           "CapabilityBoundingSet=CAP_CHWON",
                           "CapabilityBoundingSet=~CAP_CHWON",
                           "AmbientCapabilities=63",
                           "SystemCallArchitectures=native x68",
                           "SystemCallErrorNumber=EPREM",
                           "RootDirectory=srv",
                           "RootDirectoryStartOnly=yes",
                           "BindPaths=/a:b",
                           "BindReadOnlyPaths=/a:/b:bind",
                           "StateDirectoryMode=rwx",
                           "DynamicUser=yes",
                           "SecureBits=no-root",
                           "AppArmorProfile=x",
                           "PAMName=login",
                           "PermissionsStartOnly=maybe",
                           "WorkingDirectory=x",
                           "ExecCondition=bin/false",
                           "ExecStop=$X"}) {
    const Loaded loaded = load_service(std::string{line} + "\n");
    EXPECT_FALSE(loaded.value.is_startable) << line;
    EXPECT_THAT(texts(loaded), ElementsAre(HasSubstr("the unit does not start"))) << line;
  }
  for (const char* line : {"DynamicUser=no", "RootDirectory=/", "RootDirectory=", "SystemCallFilter=", "AppArmorProfile=-x"})
    EXPECT_TRUE(load_service(std::string{line} + "\n").value.is_startable) << line;
}

TEST(LoadUnit, SaysOnceWhatItDoesNotDoYet) {
  const Loaded loaded = load_service("PrivateTmp=yes\nReadWritePaths=/a\nReadWritePaths=/b\nProtectHome=no\nRemoveIPC=0\n");
  EXPECT_TRUE(loaded.value.is_startable);
  EXPECT_THAT(texts(loaded),
              ElementsAre("/u/web.service:3: warning: PrivateTmp= is not carried out yet; the unit starts without it",
                          "/u/web.service:5: warning: ReadWritePaths= is not carried out yet; the unit starts without it"));
  ASSERT_EQ(loaded.value.directives.size(), 3U);
  EXPECT_EQ(loaded.value.directives[0].name, "ExecStart");
  EXPECT_EQ(loaded.value.directives[1].outcome, Outcome::NotYet);
  EXPECT_EQ(loaded.value.directives[2].line, 5);
}

TEST(LoadUnit, RefusesAnIncompleteSandboxWhereIsolationIsStrict) {
  EXPECT_FALSE(load_service("PrivateTmp=yes\n[X-Perdure]\nIsolation=strict\n").value.is_startable);
  EXPECT_TRUE(load_service("OOMPolicy=stop\n[X-Perdure]\nIsolation=strict\n").value.is_startable);
  const std::string text = "[Service]\nExecStart=/bin/x\nPrivateTmp=yes\n";
  EXPECT_FALSE(load({text}, "web.service", Isolation::Strict).value.is_startable);
  EXPECT_TRUE(load({text + "[X-Perdure]\nIsolation=as-systemd\n"}, "web.service", Isolation::Strict).value.is_startable);
  EXPECT_FALSE(load_service("[X-Perdure]\nIsolation=stirct\n").value.is_startable);
}

TEST(LoadUnit, JudgesStreamsByTheirLastValue) {
  EXPECT_FALSE(load_service("StandardInput=socket\n").value.is_startable);
  EXPECT_TRUE(load_service("StandardInput=socket\nStandardInput=null\n").value.is_startable);
  EXPECT_EQ(service("StandardOutput=null\nStandardError=truncate:/var/log/x\n").standard_error,
            (Output{.kind = OutputKind::Truncate, .path = "/var/log/x"}));
  EXPECT_EQ(service("StandardOutput=kmsg\n").standard_output.kind, OutputKind::Journal);
  EXPECT_EQ(service("StandardInput=file:/etc/motd\n").standard_input, (Input{.kind = InputKind::File, .path = "/etc/motd"}));
  EXPECT_FALSE(load_service("StandardOutput=fd:x\n").value.is_startable);
}

TEST(LoadUnit, TakesATimeoutOfZeroForNone) {
  EXPECT_FALSE(service("TimeoutSec=0\n").timeout_start);
  EXPECT_FALSE(service("TimeoutSec=0\n").timeout_stop);
  EXPECT_FALSE(service("TimeoutStopSec=infinity\n").timeout_stop);
  EXPECT_EQ(service("RestartSec=infinity\n").restart_sec, span_max);
  EXPECT_EQ(service("RestartSec=0\n").restart_sec, 0s);
}

TEST(LoadUnit, KnowsTheOldPlacesOfTheStartLimit) {
  EXPECT_EQ(service("StartLimitInterval=20\nStartLimitBurst=7\n").start_limit_burst, 7U);
  EXPECT_EQ(service("StartLimitInterval=20\n").start_limit_interval, 20s);
  EXPECT_EQ(load({"[Unit]\nStartLimitInterval=0\n[Service]\nExecStart=/bin/x\n"}).value.service.start_limit_interval, 0s);
}

TEST(LoadUnit, PointsAtUnknownKeys) {
  EXPECT_THAT(
      texts(load_service("Enviroment=A=secret\nWantedBy=x\nX-Mine=1\n[X-Other]\na=b\n[Sevice]\nc=d\n")),
      ElementsAre(
          "/u/web.service:8: warning: the section [Sevice] has no meaning here and is left out; did you mean Service?",
          "/u/web.service:3: warning: Enviroment= is unknown in [Service] and is left out; did you mean Environment?",
          "/u/web.service:4: warning: WantedBy= is unknown in [Service] and is left out; it belongs in [Install]"));
}

TEST(LoadUnit, NeverShowsAValueOfTheEnvironment) {
  for (const std::string& text : texts(load_service("Environment=s3cret \"A=s3cret %F\" 9=s3cret\nEnvironment='A=s3cret\n")))
    EXPECT_THAT(text, ::testing::Not(HasSubstr("s3cret")));
}

TEST(LoadUnit, WarnsOfVariablesThatNobodySets) {
  EXPECT_THAT(texts(load({"[Service]\nExecStart=/bin/x $A $USER ${B}\nEnvironment=B=1\n"})),
              ElementsAre("/u/web.service:2: warning: ExecStart=: $A is set nowhere and stands for nothing"));
}

TEST(LoadUnit, TakesTargetsAndNoOtherTypesYet) {
  EXPECT_TRUE(load({"[Unit]\nWants=a.service\n"}, "default.target").value.is_startable);
  const Loaded socket = load({"[Socket]\nListenStream=80\n"}, "web.socket");
  EXPECT_FALSE(socket.value.is_startable);
  EXPECT_THAT(texts(socket),
              ElementsAre("/u/web.service: units of the type .socket are not possible yet; the unit does not start"));
  EXPECT_FALSE(load({"[Service]\nExecStart=/bin/x\n"}, "web@.service").value.is_startable);
  EXPECT_TRUE(load({"[Service]\nExecStart=/bin/x %i\n"}, "web@a.service").value.is_startable);
}

TEST(LoadUnit, RefusesAUnitOfWhichOneFileCannotBeUsed) {
  EXPECT_FALSE(load({"[Service]\nExecStart=/bin/x\n", "[Service\nUser=me\n"}).value.is_startable);
  std::string noise = "[Service]\n";
  for (int i = 0; i < 300; ++i) noise += "nonsense\n";
  const Loaded drowned = load({"[Service]\nExecStart=/bin/x\n", noise + "[Service\nUser=me\n"});
  EXPECT_FALSE(drowned.value.is_startable);
}

TEST(LoadUnit, ShowsAnErrorBehindAnyNumberOfWarnings) {
  std::string lines;
  for (int i = 0; i < 300; ++i) lines += "Nice=x\n";
  const Loaded loaded = load_service(lines + "User=0day\n");
  EXPECT_FALSE(loaded.value.is_startable);
  EXPECT_LE(loaded.diagnostics.size(), config::diagnostics_max + 1);
  EXPECT_THAT(texts(loaded), ::testing::Contains(HasSubstr("0day")));
}

TEST(LoadUnit, BoundsWhatAFileMayAskFor) {
  std::string dependencies = "[Unit]\n";
  for (std::size_t i = 0; i < dependencies_max + 10; ++i) dependencies += "After=a" + std::to_string(i) + ".service\n";
  EXPECT_EQ(load({dependencies}, "x.target").value.after.size(), dependencies_max);
  std::string environment = "[Service]\nExecStart=/bin/x\n";
  for (int i = 0; i < 40; ++i) environment += "Environment=A" + std::to_string(i) + '=' + std::string(60'000, 'x') + '\n';
  std::vector<std::string> parts{environment.substr(0, 900'000),
                                 "[Service]\n" + environment.substr(environment.find("Environment=A20="), 900'000)};
  std::size_t bytes = 0;
  for (const std::string& entry : load(parts).value.service.environment) bytes += entry.size() + 1;
  EXPECT_GT(bytes, environment_bytes_max / 2);
  EXPECT_LE(bytes, environment_bytes_max);
}

TEST(LoadUnit, CarriesOutExactlyWhatTheTableSays) {
  for (const Directive& directive : directives()) {
    if (directive.name == "BusName") continue;  // it makes the type dbus, which is refused by its name
    const std::string text = "[" + std::string{directive.section} + "]\n" + std::string{directive.name} + "=x\n";
    const Loaded loaded = load({text}, "x.service");
    const auto is_said = ::testing::Contains(HasSubstr(std::string{directive.name} + "= is not carried out yet"));
    if (directive.outcome == Outcome::NotYet) {
      EXPECT_THAT(texts(loaded), is_said);
      EXPECT_EQ(directive.without == Without::Refused, !directive.note.empty()) << directive.name;
    } else {
      EXPECT_THAT(texts(loaded), ::testing::Not(is_said));
      EXPECT_EQ(directive.outcome == Outcome::Emulated, !directive.note.empty()) << directive.name;
    }
  }
}

// What a person's editor and a failing disk make of a good file.
RC_GTEST_PROP(LoadUnit, SurvivesEveryMutilation, ()) {
  static const std::string good =
      "[Unit]\nDescription=x %n\nAfter=a.service \\\n  b.service\nStartLimitBurst=5\n[Service]\nType=exec\n"
      "ExecStart=-@/bin/sh sh -c 'echo \"$A\" ${B} %i \\x41' ; /bin/y\nEnvironment=\"A=b c\" D=%t\nLimitNOFILE=1:2\n"
      "SuccessExitStatus=1 SIGTERM\nUser=me\nRestartSec=1min "
      "2s\nStandardOutput=file:/x\nPrivateTmp=yes\n[X-Perdure]\nIsolation=strict\n";
  std::string text = good.substr(0, *rc::gen::inRange<std::size_t>(0, good.size() + 1));
  const auto changes =
      *rc::gen::container<std::vector<std::pair<std::uint16_t, char>>>(rc::gen::arbitrary<std::pair<std::uint16_t, char>>());
  for (const auto& [at, byte] : changes)
    if (!text.empty()) text[at % text.size()] = byte;
  const Loaded loaded = load({good, text});
  const bool has_error =
      std::any_of(loaded.diagnostics.begin(), loaded.diagnostics.end(), [](const Diagnostic& d) { return !d.is_warning; });
  RC_ASSERT(loaded.value.is_startable == !has_error);
}

RC_GTEST_PROP(LoadUnit, TakesAnyValueOfAnyDirective, (const std::string& value)) {
  const auto known = directives();
  const Directive& directive = known[*rc::gen::inRange<std::size_t>(0, known.size())];
  (void)load({"[" + std::string{directive.section} + "]\n" + std::string{directive.name} + "=" + value + "\n"});
}

}  // namespace
}  // namespace perdure::unit
