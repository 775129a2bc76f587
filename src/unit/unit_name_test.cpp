#include "unit/unit_name.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace perdure::unit {
namespace {

UnitName name(std::string_view text) { return UnitName::parse(text).value(); }

TEST(UnitName, KnowsItsParts) {
  const UnitName plain = name("web.service");
  EXPECT_EQ(plain.type(), UnitType::Service);
  EXPECT_EQ(plain.stem(), "web");
  EXPECT_EQ(plain.prefix(), "web");
  EXPECT_EQ(plain.instance(), "");
  EXPECT_FALSE(plain.is_template());
  EXPECT_FALSE(plain.is_instance());

  const UnitName instance = name("getty@tty1.service");
  EXPECT_EQ(instance.prefix(), "getty");
  EXPECT_EQ(instance.instance(), "tty1");
  EXPECT_TRUE(instance.is_instance());
  EXPECT_EQ(instance.template_name().text(), "getty@.service");

  const UnitName of_two_ats = name("a@b@c.socket");
  EXPECT_EQ(of_two_ats.prefix(), "a");
  EXPECT_EQ(of_two_ats.instance(), "b@c");

  EXPECT_TRUE(name("getty@.service").is_template());
  EXPECT_EQ(name("getty@.service").with_instance("tty2")->text(), "getty@tty2.service");
  EXPECT_FALSE(name("getty@.service").with_instance("a/b"));
  EXPECT_FALSE(name("getty@.service").with_instance(""));
}

TEST(UnitName, MayHaveEveryAllowedByteAnd255OfThem) {
  EXPECT_TRUE(UnitName::parse(R"(-.slice)"));
  EXPECT_TRUE(UnitName::parse(R"(dev-disk-by\x2dlabel-A:B_9.device)"));
  EXPECT_TRUE(UnitName::parse(std::string(247, 'a') + ".service"));
  EXPECT_FALSE(UnitName::parse(std::string(248, 'a') + ".service"));
}

TEST(UnitName, IsNeverAPath) {
  for (const char* text :
       {"/etc/web.service", "../web.service", "..", ".", "", ".service", "@.service", "@x.service", "web", "web.",
        "web.srevice", ".x.service", "..service", "...service", ".@x.service", "a b.service", "web.service\n",
        "w\xC3\xA9"
        "b.service"})
    EXPECT_FALSE(UnitName::parse(text)) << text;
  EXPECT_FALSE(UnitName::parse(std::string_view{"a\0.service", 10}));
}

TEST(UnitName, IsNeverHidden) {
  EXPECT_EQ(UnitName::parse(".x.service").error().message(),
            "\".x.service\" is no unit name: it begins with \".\", as hidden files do, and these are not read as units");
  EXPECT_TRUE(UnitName::parse("x..service"));
}

RC_GTEST_PROP(UnitName, IsReadBackOrRefusedWhateverTheBytes, (const std::string& text)) {
  if (const auto parsed = UnitName::parse(text)) {
    RC_ASSERT(parsed->text() == text);
    RC_ASSERT(text.find('/') == std::string::npos);
  }
}

TEST(UnescapeName, UndoesSystemdsEscaping) {
  EXPECT_EQ(unescape_name(R"(dev-disk-by\x2dlabel)"), "dev/disk/by-label");
  EXPECT_EQ(unescape_name(R"(a\x2)"), R"(a\x2)");
  EXPECT_EQ(unescape_name(R"(a\x00b)"), R"(a\x00b)");
  EXPECT_EQ(unescape_name(R"(\xzz)"), R"(\xzz)");
}

}  // namespace
}  // namespace perdure::unit
