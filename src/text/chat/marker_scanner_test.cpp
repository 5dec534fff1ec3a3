#include "text/chat/marker_scanner.h"

#include <vector>

#include <gtest/gtest.h>

namespace mach {
namespace {

constexpr MarkerRow kRows[] = {
    {"<a>", Marker::kThinkOpen},
    {"<ab>", Marker::kThinkClose},
    {"</long marker>", Marker::kCallOpen, MarkerMatch::kText},
};

// Everything the scanner said: text as it is, markers in brackets, one entry per push.
class Log : public MarkerScanner::Handler {
 public:
  void on_text(std::string_view text) override {
    EXPECT_FALSE(text.empty());
    now += text;
  }
  void on_marker(Marker, std::string_view spelling) override { now += "[" + std::string(spelling) + "]"; }
  std::string take() { return std::exchange(now, {}); }
  std::string now;
};

std::vector<std::string> scan(const std::vector<TokenPiece>& pieces, const MarkerLookup& lookup = {}) {
  MarkerScanner scanner(kRows, lookup);
  Log log;
  std::vector<std::string> said;
  for (const TokenPiece& piece : pieces) {
    scanner.push(piece, log);
    said.push_back(log.take());
  }
  scanner.flush(log);
  said.push_back(log.take());
  return said;
}

using Said = std::vector<std::string>;

TEST(MarkerScanner, FindsMarkersInText) {
  EXPECT_EQ(scan({{-1, "x<a>y<ab><a></long marker>z"}}), (Said{"x[<a>]y[<ab>][<a>][</long marker>]z", ""}));
  EXPECT_EQ(scan({{-1, "<<a>"}}), (Said{"<[<a>]", ""}));
  EXPECT_EQ(scan({{-1, ""}}), (Said{"", ""}));
}

TEST(MarkerScanner, HoldsBackOnlyWhatMayBecomeAMarker) {
  EXPECT_EQ(scan({{-1, "x <"}, {-1, "a"}, {-1, "b"}, {-1, "c"}}), (Said{"x ", "", "", "<abc", ""}));
  EXPECT_EQ(scan({{-1, "x<"}, {-1, " y"}, {-1, "</lo"}, {-1, "ng"}}), (Said{"x", "< y", "", "", "</long"}));
  EXPECT_EQ(scan({{-1, "<<"}, {-1, "<a"}, {-1, ">"}}), (Said{"<", "<", "[<a>]", ""}));
}

TEST(MarkerScanner, PrefersIds) {
  const MarkerLookup lookup = [](std::string_view name) {
    return name == "<a>" ? 5 : name == "</long marker>" ? 6 : -1;
  };
  EXPECT_EQ(scan({{1, "<a>"}, {5, ""}, {6, "x"}, {2, "<ab"}, {5, "<a>"}}, lookup),
            (Said{"<a>", "[<a>]", "x", "", "<ab[<a>]", ""}));
}

TEST(MarkerScanner, RepairsUtf8) {
  // A character in four pieces, a marker inside a character, bytes that are none.
  EXPECT_EQ(scan({{-1, "a\xF0"}, {-1, "\x9F"}, {-1, "\x9A"}, {-1, "\x80z"}}), (Said{"a", "", "", "🚀z", ""}));
  EXPECT_EQ(scan({{-1, "\xE2\x82"}, {-1, "<a>"}}), (Said{"", "\xEF\xBF\xBD[<a>]", ""}));
  EXPECT_EQ(scan({{-1,
                   "\xFF"
                   "a"},
                  {-1, "\xC3"}}),
            (Said{"\xEF\xBF\xBD"
                  "a",
                  "", "\xEF\xBF\xBD"}));
}

}  // namespace
}  // namespace mach
