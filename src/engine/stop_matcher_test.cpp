#include "engine/stop_matcher.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mach/error.h"

namespace mach {
namespace {

struct Output {
  std::string text;
  bool stopped;
  bool operator==(const Output&) const = default;
};

Output run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  std::string text;
  for (const std::string& piece : pieces) text += matcher.push(piece);
  const bool stopped = matcher.stopped();
  return {text + matcher.finish(), stopped};
}

TEST(StopMatcher, EndsBeforeTheStopStringAcrossPieces) {
  EXPECT_EQ(run({"<end>"}, {"hello <e", "nd> more"}), (Output{"hello ", true}));
  EXPECT_EQ(run({"<end>"}, {"hello <", "e", "n", "d", ">"}), (Output{"hello ", true}));
  EXPECT_EQ(run({"\n\n"}, {"a\n", "b\n", "\nc"}), (Output{"a\nb", true}));
}

TEST(StopMatcher, HoldsBackOnlyWhatCouldBecomeAStop) {
  StopMatcher matcher({"STOP"});
  EXPECT_EQ(matcher.push("now S"), "now ");
  EXPECT_EQ(matcher.push("T"), "");
  EXPECT_EQ(matcher.push("S"), "ST");  // the second S may begin anew
  EXPECT_EQ(matcher.push("x"), "Sx");
  EXPECT_EQ(matcher.push("STO"), "");
  EXPECT_EQ(matcher.finish(), "STO");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcher, TheStopThatIsCompleteFirstWins) {
  EXPECT_EQ(run({"abcd", "bc"}, {"xabcd"}), (Output{"xa", true}));
  EXPECT_EQ(run({"bc", "abc"}, {"xabc"}), (Output{"x", true}));  // both end here: the longer
  StopMatcher matcher({"bc", "abc"});
  matcher.push("xab");
  matcher.push("c");
  EXPECT_EQ(matcher.matched(), "abc");
}

TEST(StopMatcher, NothingFollowsAStop) {
  StopMatcher matcher({"!"});
  EXPECT_EQ(matcher.push("a!b"), "a");
  EXPECT_EQ(matcher.push("c"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, WithoutStopsTextPassesAtOnce) { EXPECT_EQ(run({}, {"a", "", "b"}), (Output{"ab", false})); }

TEST(StopMatcher, ResultDoesNotDependOnTheCut) {
  std::mt19937 random(11);
  const auto text_of = [&](size_t length) {
    std::string text;
    for (size_t i = 0; i < length; ++i) text += "ab"[random() % 2];
    return text;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<std::string> stops;
    for (size_t i = 0; i < 1 + random() % 3; ++i) stops.push_back(text_of(2 + random() % 5));
    const std::string text = text_of(40);
    const Output whole = run(stops, {text});
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 4;
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    ASSERT_EQ(run(stops, pieces), whole) << text;
    std::vector<std::string> bytes;
    for (const char c : text) bytes.emplace_back(1, c);
    ASSERT_EQ(run(stops, bytes), whole) << text;
  }
}

TEST(StopMatcher, RefusesEmptyLongAndManyStrings) {
  EXPECT_THROW(StopMatcher({""}), Error);
  EXPECT_THROW(StopMatcher({std::string(kMaxStopStringBytes + 1, 'x')}), Error);
  EXPECT_THROW(StopMatcher(std::vector<std::string>(kMaxStopStrings + 1, "x")), Error);
  EXPECT_NO_THROW(StopMatcher(std::vector<std::string>(kMaxStopStrings, "x")));
}

}  // namespace
}  // namespace mach
