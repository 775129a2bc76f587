// What users read when a unit is wrong, reviewed as an interface: testdata/error_texts.txt.
// PERDURE_REWRITE_GOLDEN=1 in the environment rewrites the file from what the code says now.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::unit {
namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

const std::string names[] = {
    "web",      "web.srevice", "web.sock", "a b.service",       "/etc/web.service",
    ".service", "@a.service",  "",         "w\xC3\xBC.service", std::string(300, 'a') + ".service",
};

// Lines of [Service] beside a good ExecStart=.
const std::string lines[] = {
    "ExecStart=",
    "ExecStart=/bin/y",
    "ExecStart=\nExecStart=bin/x",
    "ExecStart=\nExecStart=/bin/x 'a",
    "ExecStart=\nExecStart=$SHELL -c x",
    "ExecStart=\nExecStart=/bin/date +%F",
    "ExecStart=\nExecStart=/bin/x %m",
    "ExecStart=\nExecStart=/bin/x \\q",
    "ExecStart=\nExecStart=@/bin/x",
    "ExecStart=\nExecStart=-",
    "ExecStart=\nExecStart=!/bin/x",
    "ExecStart=\nExecStart=/bin/x $ARGS",
    "Type=dbus",
    "Type=oneshot\nRestart=always",
    "Type=oneshot\nRestartForceExitStatus=3",
    "ExecStart=\nExecStop=/bin/y",
    "ExecStart=\nType=notify\nExecStop=/bin/y",
    "Type=smiple",
    "Type=Exec",
    "BusName=org.example",
    "Restart=allways",
    "RestartSec=soon",
    "RestartSec=",
    "TimeoutStopSec=5 parsecs",
    "KillMode=all",
    "KillSignal=SIGTREM",
    "SuccessExitStatus=256 SIGX",
    "User=0day",
    "User=a:b",
    "User=007",
    "User=65535",
    "Group=-1",
    "SupplementaryGroups=a b:c",
    "NoNewPrivileges=maybe",
    "UMask=9",
    "UMask=",
    "WorkingDirectory=srv",
    "WorkingDirectory=%F",
    "Environment=A B=c",
    "Environment='A=b",
    "Environment=A=%F",
    "Nice=99",
    "OOMScoreAdjust=low",
    "LimitNOFILE=2:1",
    "LimitNOFILE=many",
    "LimitMEMLOCK=8MB",
    "LimitNICE=+30",
    "StandardInput=tty",
    "StandardInput=tyt",
    "StandardOutput=file:x",
    "StandardOutput=syslog",
    "StandardOutput=journal+console",
    "StandardOutput=tty",
    "StandardError=fd:err",
    "Enviroment=A=b",
    "WantedBy=x",
    "PrivateTmp=yes",
    "ExecStartPre=-bin/y",
    "ExecStop=bin/y",
    "PIDFile=",
    "PIDFile=%F",
    "NotifyAccess=mian",
    "WatchdogSec=soon",
    "FinalKillSignal=9x",
    "StartLimitAction=reboot",
    "EnvironmentFile=-etc/default/x",
    "PassEnvironment=9A B",
    "UnsetEnvironment=A=s3cret 9B=s3cret",
    "StateDirectory=/x ../y private/z .",
    "ConfigurationDirectory=a:b",
    "LogsDirectoryMode=rwx",
    "RuntimeDirectoryPreserve=maybe",
    "IOSchedulingClass=fast",
    "IOSchedulingPriority=8",
    "CPUSchedulingPolicy=4",
    "CPUSchedulingPriority=100",
    "CapabilityBoundingSet=CAP_CHWON",
    "AmbientCapabilities=~cap_kill 63",
    "SecureBits=no-root",
    "SystemCallFilter=@sytem-service raed read:EPERM",
    "SystemCallFilter=~@mount:EPREM",
    "SystemCallErrorNumber=none",
    "SystemCallArchitectures=x68",
    "BindPaths=/a:b",
    "BindReadOnlyPaths=/a:/b:bind",
    "BindPaths=/a:/b:rbind:x",
    "RootDirectory=srv",
    "RootDirectoryStartOnly=yes",
    "PAMName=login",
    "TTYPath=/dev/tty1",
    "DynamicUser=yes",
    "LoadCredential=a:/b",
    "no equals sign",
    "=x",
    "[Unit]\nAfter=db",
    "[Unit]\nAfter=a/b.service 'x",
    "[Unit]\nConditionPathExists=x",
    "[Unit]\nAssertUser=%F",
    "[Unit]\nRefuseManualStart=maybe",
    "[Unit]\nRequires=%m.service",
    "[Sevice]\nUser=me",
    "[Service\nUser=me",
    "[Install]\nWantedBy=multi-user",
    "[X-Perdure]\nIsolation=stirct",
    "[X-Perdure]\nEssential=maybe",
    "PrivateTmp=yes\n[X-Perdure]\nIsolation=strict",
    std::string{"a\0b", 3},
    std::string(70'000, 'x'),
};

std::string shown(const std::string& text) { return base::escape(text.substr(0, 60)) + (text.size() > 60 ? "…" : ""); }

TEST(ErrorTexts, AreThoseOfTheGoldenFile) {
  std::string now;
  for (const std::string& name : names) now += "> " + shown(name) + '\n' + UnitName::parse(name).error().message() + "\n\n";
  const UnitName web = UnitName::parse("web.service").value();
  for (const std::string& line : lines) {
    now += "> " + shown(line) + '\n';
    const UnitSource source{.path = "/etc/web.service", .text = "[Service]\nExecStart=/bin/x\n" + line + '\n'};
    for (const Diagnostic& d : load_unit(web, {&source, 1}, {}).diagnostics) now += d.text() + '\n';
    now += '\n';
  }
  const std::filesystem::path golden = PERDURE_UNIT_TESTDATA "/error_texts.txt";
  if (std::getenv("PERDURE_REWRITE_GOLDEN") != nullptr) std::ofstream{golden, std::ios::binary} << now;
  EXPECT_EQ(now, read_text(golden));
}

// ---- docs/reference/unit-files.md ----------------------------------------------------------------------------------------

std::string consequence(const Directive& directive) {
  std::string text;
  if (directive.outcome == Outcome::NotYet) {
    text = directive.without == Without::Refused    ? "does not start: without it "
           : directive.without == Without::Isolated ? "starts without it; not under `Isolation=strict`"
                                                    : "starts without it";
  }
  return text + std::string{directive.note};
}

TEST(SupportTable, IsTheOneInTheDocument) {
  const std::filesystem::path path = PERDURE_UNIT_DOCUMENT;
  const std::string document = read_text(path);
  const std::string begin = "<!-- table: directives -->\n", end = "<!-- end of the table -->\n";
  const std::size_t from = document.find(begin), to = document.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  std::string table = "| section | directive | outcome | a service that sets it |\n|---|---|---|---|\n";
  for (const Directive& d : directives())
    table += "| " + std::string{d.section} + " | `" + std::string{d.name} + "=` | " + std::string{text_of(d.outcome)} +
             " | " + consequence(d) + " |\n";
  const std::size_t start = from + begin.size();
  if (std::getenv("PERDURE_REWRITE_GOLDEN") != nullptr)
    std::ofstream{path, std::ios::binary} << document.substr(0, start) + table + document.substr(to);
  EXPECT_EQ(read_text(path).substr(start, table.size()), table);
}

TEST(SupportTable, NamesEachDirectiveOnce) {
  for (const Directive& d : directives()) EXPECT_EQ(find_directive(d.section, d.name), &d) << d.name;
  EXPECT_EQ(find_directive("Service", "After"), nullptr);
}

// Which directives systemd 252 knows, as its own program lists them ("[Section]" and "Name=VALUE" lines).
TEST(SupportTable, KnowsEveryDirectiveOfSystemd252) {
  std::ifstream items{PERDURE_SYSTEMD_ITEMS};
  if (!items) GTEST_SKIP() << "the list of systemd 252's directives is not beside this source tree";
  std::string section;
  int known = 0;
  for (std::string line; std::getline(items, line);) {
    if (line.starts_with('[')) section = line.substr(1, line.size() - 2);
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos || (section != "Unit" && section != "Service" && section != "Install")) continue;
    EXPECT_NE(find_directive(section, line.substr(0, equals)), nullptr) << line;
    ++known;
  }
  EXPECT_GT(known, 300);
}

}  // namespace
}  // namespace perdure::unit
