#include "net/address.hpp"

#include <arpa/inet.h>

#include <cerrno>
#include <cstring>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::net {
namespace {

/// What the kernel would get, as text.
std::string read_back(std::string_view text) {
  const auto address = parse_address(text);
  if (!address) return address.error().message();
  char host[INET6_ADDRSTRLEN] = {};
  if (address->family() == AF_INET) {
    sockaddr_in socket{};
    std::memcpy(&socket, &address->socket, sizeof socket);
    ::inet_ntop(AF_INET, &socket.sin_addr, host, sizeof host);
    return fmt::format("v4 {} {} {}", host, ntohs(socket.sin_port), address->size);
  }
  if (address->family() == AF_INET6) {
    sockaddr_in6 socket{};
    std::memcpy(&socket, &address->socket, sizeof socket);
    ::inet_ntop(AF_INET6, &socket.sin6_addr, host, sizeof host);
    return fmt::format("v6 {} {}{}", host, ntohs(socket.sin6_port), address->is_for_all ? " for all" : "");
  }
  sockaddr_un socket{};
  std::memcpy(&socket, &address->socket, sizeof socket);
  if (!address->path.empty()) return fmt::format("file {} {}", socket.sun_path, address->path);
  return fmt::format("abstract {} {}", socket.sun_path[0] == '\0' ? socket.sun_path + 1 : "not", address->size);
}

TEST(Address, ReadsEveryFormThatTheHeaderNames) {
  EXPECT_EQ(read_back("127.0.0.1:8080"), "v4 127.0.0.1 8080 16");
  EXPECT_EQ(read_back("0.0.0.0:0"), "v4 0.0.0.0 0 16");
  EXPECT_EQ(read_back("[::1]:80"), "v6 ::1 80");
  EXPECT_EQ(read_back("[::ffff:1.2.3.4]:80"), "v6 ::ffff:1.2.3.4 80");
  EXPECT_EQ(read_back("8080"), "v6 :: 8080 for all");
  EXPECT_EQ(read_back("*:8080"), "v6 :: 8080 for all");
  EXPECT_EQ(read_back("/run/x.sock"), "file /run/x.sock /run/x.sock");
  EXPECT_EQ(read_back("unix:/run/x:y.sock"), "file /run/x:y.sock /run/x:y.sock");
  EXPECT_EQ(read_back("@name"), "abstract name 7");
  EXPECT_EQ(read_back("unix:@name"), "abstract name 7");
}

TEST(Address, SaysWhatIsWantedInstead) {
  const std::string wanted = "wanted is 127.0.0.1:8080, [::1]:8080, 8080, /run/x.sock or @name";
  EXPECT_EQ(read_back(""), "cannot listen on \"\": it has no port; " + wanted);
  EXPECT_EQ(read_back("127.0.0.1"), "cannot listen on \"127.0.0.1\": it has no port; " + wanted);
  EXPECT_EQ(read_back("127.0.0.1:"), "cannot listen on \"127.0.0.1:\": it has no port; " + wanted);
  EXPECT_EQ(read_back("127.0.0.1:http"), "cannot listen on \"127.0.0.1:http\": " + wanted);
  EXPECT_EQ(read_back("localhost:80"), "cannot listen on \"localhost:80\": names are not looked up; " + wanted);
  EXPECT_EQ(read_back("1.2.3:80"), "cannot listen on \"1.2.3:80\": names are not looked up; " + wanted);
  EXPECT_EQ(read_back("65536"), "cannot listen on \"65536\": a port is a number from 0 to 65535");
  EXPECT_EQ(read_back("-1"), "cannot listen on \"-1\": it has no port; " + wanted);
  EXPECT_EQ(read_back("::1"), "cannot listen on \"::1\": write an IPv6 address in brackets, with a port: [::1]:8080");
  EXPECT_EQ(read_back("[::1]"), "cannot listen on \"[::1]\": " + wanted);
  EXPECT_EQ(read_back("[1.2.3.4]:80"), "cannot listen on \"[1.2.3.4]:80\": what is in the brackets is no IPv6 address");
  EXPECT_EQ(read_back("unix:run/x"), "cannot listen on \"unix:run/x\": the path of a socket must be absolute");
  EXPECT_EQ(read_back("unix:"), "cannot listen on \"unix:\": the path is empty");
  EXPECT_EQ(read_back("@"), "cannot listen on \"@\": the abstract name is empty");
  EXPECT_EQ(read_back("/run/"), "cannot listen on \"/run/\": a path that ends in / is a directory's");
  EXPECT_EQ(read_back(std::string("/a\0b", 4)), "cannot listen on \"/a\\x00b\": it has a NUL byte");
}

TEST(Address, APathHas107BytesAndNotOneMore) {
  const std::string fits = "/" + std::string(106, 'x');
  EXPECT_EQ(read_back(fits), "file " + fits + " " + fits);
  const auto longer = parse_address(fits + "x");
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code(), ENAMETOOLONG);
  EXPECT_THAT(longer.error().message(), testing::HasSubstr("it has 108 bytes, a Unix socket's at most 107"));
  EXPECT_TRUE(parse_address("@" + std::string(107, 'x')));
  EXPECT_FALSE(parse_address("@" + std::string(108, 'x')));
}

}  // namespace
}  // namespace perdure::net
