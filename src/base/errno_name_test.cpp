#include "base/errno_name.hpp"

#include <cerrno>
#include <cstring>

#include <gtest/gtest.h>

#include "base/portable_testing.hpp"

namespace perdure::base {
namespace {

TEST(ErrnoName, IsTheSymbol) {
  EXPECT_EQ(errno_name(ENOENT), "ENOENT");
  EXPECT_EQ(errno_name(EXDEV), "EXDEV");
  EXPECT_EQ(errno_name(EWOULDBLOCK), "EAGAIN");
  EXPECT_EQ(errno_name(ENOTSUP), "EOPNOTSUPP");
}

TEST(ErrnoName, KnowsEveryValueTheCLibraryKnows) {
  PERDURE_SKIP_IF_PORTABLE("it knows those of POSIX");
  for (int code = 1; code < 1024; ++code) {
    const char* const theirs = strerrorname_np(code);
    if (theirs == nullptr) {
      EXPECT_EQ(errno_name(code), "") << code;
    } else if (code != ENOTSUP) {
      EXPECT_EQ(errno_name(code), theirs);
    }
  }
}

TEST(ErrnoName, IsEmptyForOtherNumbers) {
  EXPECT_EQ(errno_name(0), "");
  EXPECT_EQ(errno_name(-ENOENT), "");
}

TEST(ErrnoWords, AreWordsForEveryNumber) {
  EXPECT_EQ(errno_words(ENOENT), "No such file or directory");
  EXPECT_EQ(errno_words(-1), "Unknown error -1");
}

}  // namespace
}  // namespace perdure::base
