#include "daemons.hpp"

#include <ostream>

namespace daemons_test {
namespace {

// Where a machine's daemons write with syslog(3).
constexpr std::string_view log_socket = "socat -u UNIX-RECV:/dev/log,mode=666 OPEN:/var/log/syslog,creat,append &\n";

const std::vector<Daemon> table{
    {.name = "cron",
     .unit = "cron.service",
     .setup = "printf '@reboot root echo ran >/run/cron-ran\\n' >/etc/cron.d/room\n",
     .question = "grep -q ran /run/cron-ran",
     .user = "root",
     .can_reload = false,
     .after_kill = AfterKill::Restarted},
    {.name = "redis",
     .unit = "redis-server.service",
     .question = "test \"$(redis-cli ping)\" = PONG && redis-cli set a b && test \"$(redis-cli get a)\" = b",
     .user = "redis",
     .can_reload = false,
     .after_kill = AfterKill::Restarted},
    {.name = "apache",
     .unit = "apache2.service",
     .question = "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q 'It works' <&3",
     .user = "root",
     .says = "AH00558",
     .can_reload = true,
     .change = "echo 'Redirect /moved /elsewhere' >/etc/apache2/conf-enabled/room.conf",
     .changed = "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET /moved HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '/elsewhere' <&3",
     .after_kill = AfterKill::Restarted},
    {.name = "unbound",
     .unit = "unbound.service",
     .question = "dig +time=1 +tries=1 @127.0.0.1 localhost A +short | grep -qx 127.0.0.1",
     .user = "unbound",
     .says = "Updating",
     .can_reload = true,
     .change = "printf 'server:\\n local-zone: room. static\\n local-data: \"moved.room. A 192.0.2.7\"\\n' "
               ">/etc/unbound/unbound.conf.d/room.conf",
     .changed = "dig +time=1 +tries=1 @127.0.0.1 moved.room A +short | grep -q 192.0.2.7",
     .after_kill = AfterKill::Restarted},
    {.name = "mariadb",
     .unit = "mariadb.service",
     .question = "mariadb -e 'select 40 + 2' | grep -qx 42",
     .user = "mysql",
     .says = "ready for connections",
     .can_reload = false,
     .after_kill = AfterKill::Restarted},
    {.name = "rsyslog",
     .unit = "rsyslog.service",
     .question = "logger -t room hello && sleep 0.1 && grep -q hello /var/log/syslog",
     .user = "root",
     .can_reload = false,
     .after_kill = AfterKill::Restarted},
    {.name = "haproxy",
     .unit = "haproxy.service",
     .setup = log_socket,
     .question = "echo show version | socat - UNIX-CONNECT:/run/haproxy/admin.sock | grep -q ^2",
     .user = "root",
     .says = "Loading success",
     .can_reload = true,
     .change = "printf 'listen room\\n bind 127.0.0.1:8404\\n http-request return status 204\\n' >>/etc/haproxy/haproxy.cfg",
     .changed = "exec 3<>/dev/tcp/127.0.0.1/8404 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 204 ' <&3",
     .after_kill = AfterKill::Restarted},
    {.name = "postgresql",
     .unit = "postgresql@15-main.service",
     .question = "cd / && setpriv --reuid=postgres --regid=postgres --init-groups psql -Atc 'select 40 + 2' | grep -qx 42",
     .user = "postgres",
     .can_reload = true,
     .change = "echo work_mem = 7MB >>/etc/postgresql/15/main/postgresql.conf",
     .changed = "cd / && setpriv --reuid=postgres --regid=postgres --init-groups psql -Atc 'show work_mem' | grep -qx 7MB",
     .after_kill = AfterKill::Failed,
     .result_of_kill = "exit-code"},
    {.name = "dnsmasq",
     .unit = "dnsmasq.service",
     .question = "dig +time=1 +tries=1 @127.0.0.1 localhost A +short | grep -qx 127.0.0.1",
     .user = "dnsmasq",
     .can_reload = true,
     .change = "echo 192.0.2.7 moved.room >>/etc/hosts",
     .changed = "dig +time=1 +tries=1 @127.0.0.1 moved.room A +short | grep -q 192.0.2.7",
     .after_kill = AfterKill::Failed,
     .result_of_kill = "signal"},
    {.name = "etcd",
     .unit = "etcd.service",
     .question =
         "exec 3<>/dev/tcp/127.0.0.1/2379 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '\"true\"' <&3",
     .user = "etcd",
     .says = "ready to serve client requests",
     .can_reload = false,
     .after_kill = AfterKill::Restarted},
    {.name = "lighttpd",
     .unit = "lighttpd.service",
     .question = "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ^Server <&3",
     .user = "www-data",
     .can_reload = true,
     .change = "echo 'server.tag = \"moved\"' >>/etc/lighttpd/lighttpd.conf",
     .changed = "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q 'Server: moved' <&3",
     .after_kill = AfterKill::Restarted},
    {.name = "bind",
     .unit = "named.service",
     .question = "dig +time=1 +tries=1 @127.0.0.1 localhost A +short | grep -qx 127.0.0.1",
     .user = "bind",
     .can_reload = true,
     .change = "echo 'zone \"moved.room\" { type master; file \"/etc/bind/db.empty\"; };' >>/etc/bind/named.conf.local",
     .changed = "dig +time=1 +tries=1 @127.0.0.1 moved.room SOA +short | grep -q localhost",
     .after_kill = AfterKill::Restarted},
    {.name = "knot",
     .unit = "knot.service",
     .question = "knotc status",
     .user = "knot",
     .says = "Configuration is valid",
     .can_reload = true,
     .change = "printf 'zone:\\n  - domain: moved.room\\n' >>/etc/knot/knot.conf",
     .changed = "knotc zone-status moved.room",
     .after_kill = AfterKill::Restarted},
    {.name = "transmission",
     .unit = "transmission-daemon.service",
     .question = "exec 3<>/dev/tcp/127.0.0.1/9091 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q 'HTTP/1' <&3",
     .user = "debian-transmission",
     .can_reload = true,
     .after_kill = AfterKill::Failed,
     .result_of_kill = "signal"},
    {.name = "stunnel",
     .unit = "stunnel@test.service",
     .setup = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=room -keyout /etc/stunnel/test.pem -out /tmp/certificate "
              "2>&1\n"
              "cat /tmp/certificate >>/etc/stunnel/test.pem\n"
              "printf 'foreground=yes\\npid=\\ncert=/etc/stunnel/test.pem\\n[test]\\naccept=4433\\nconnect=4434\\n' "
              ">/etc/stunnel/test.conf\n",
     .question = "openssl s_client -connect 127.0.0.1:4433 </dev/null 2>&1 | grep -q 'CN = room'",
     .user = "root",
     .says = "Configuration successful",
     .can_reload = false,
     .after_kill = AfterKill::Failed,
     .result_of_kill = "signal"},
};

}  // namespace

std::string_view word_of(Step step) noexcept {
  switch (step) {
    case Step::Start: return "start";
    case Step::User: return "user";
    case Step::Answer: return "answer";
    case Step::Reload: return "reload";
    case Step::Kill: return "kill";
    case Step::Stop: return "stop";
    case Step::StartAgain: return "start again";
    case Step::Log: return "log";
    case Step::Recover: return "recover";
  }
  return "?";
}

std::span<const Daemon> daemons() { return table; }

std::ostream& operator<<(std::ostream& out, const Daemon& daemon) { return out << daemon.name; }

}  // namespace daemons_test
