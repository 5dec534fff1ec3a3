#include "io/hub/catalog.h"

#include <gtest/gtest.h>

#include "mach/error.h"

#include "io/hub/fake_hub.h"

namespace mach {
namespace {

using mach::testing::FakeHub;
using mach::testing::FakeRequest;
using mach::testing::FakeResponse;

ErrorCode failure(const CatalogSettings& settings, std::string* what = nullptr) {
  try {
    fetch_catalog(settings);
  } catch (const Error& error) {
    if (what != nullptr) *what = error.what();
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

TEST(Catalog, IsFetchedWithTheTokenFromABaseOrFullUrl) {
  const FakeHub hub([](const FakeRequest& request) -> FakeResponse {
    EXPECT_EQ(request.path, "/v1/local-moe/catalog");
    EXPECT_EQ(request.headers.at("authorization"), "Bearer t0ken");
    return {200,
            {},
            R"({"models": [{"name": "a/b", "model_type": "gemma4", "size": 5, "x": 1}, {"name": "c"}]})",
            -1};
  });
  for (const std::string suffix : {"", "/", "/v1/local-moe/catalog"}) {
    const auto models = fetch_catalog({hub.url() + suffix, "t0ken"});
    ASSERT_EQ(models.size(), 2U);
    EXPECT_EQ(models[0].name, "a/b");
    EXPECT_EQ(models[0].size, 5U);
    EXPECT_FALSE(models[1].model_type.has_value());
  }
}

TEST(Catalog, FaultsAreTypedErrorsThatDoNotShowTheToken) {
  const struct {
    FakeResponse response;
    ErrorCode code;
  } rows[] = {
      {{401, {}, "", -1}, ErrorCode::kUnauthorized},
      {{500, {}, "", -1}, ErrorCode::kIo},
      {{200, {}, "<html>", -1}, ErrorCode::kCorruptFile},
      {{200, {}, R"({"models": 3})", -1}, ErrorCode::kCorruptFile},
      {{200, {}, R"({})", -1}, ErrorCode::kCorruptFile},
      {{200, {}, R"([{"name": 3}])", -1}, ErrorCode::kCorruptFile},
      {{200, {}, R"([{"name": "a\u0007"}])", -1}, ErrorCode::kCorruptFile},
      {{200, {}, R"([{"name": "a", "size": -1}])", -1}, ErrorCode::kCorruptFile},
      {{200, {}, std::string(100, ' '), 10}, ErrorCode::kIo},
      {{200, {}, std::string((16U << 20) + 1, ' '), -1}, ErrorCode::kTooLarge},
  };
  for (const auto& row : rows) {
    const FakeHub hub([&](const FakeRequest&) { return row.response; });
    std::string what;
    EXPECT_EQ(failure({hub.url(), "t0ken"}, &what), row.code) << what;
    EXPECT_EQ(what.find("t0ken"), std::string::npos);
  }
}

TEST(Catalog, AnUnreachableHostIsAnIoError) {
  EXPECT_EQ(failure({"http://127.0.0.1:1", ""}), ErrorCode::kIo);
}

}  // namespace
}  // namespace mach
