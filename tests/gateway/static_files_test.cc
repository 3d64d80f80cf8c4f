#include "bridge/gateway/static_files.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/catch.h"
#include "tests/gateway/asked.h"

namespace parley::gateway {
namespace {

namespace fs = std::filesystem;

// A built page, with a secret beside it.
class Page {
 public:
  Page() : dir_(fs::temp_directory_path() / ("parley-page-" + std::to_string(getpid()))) {
    fs::create_directories(dir_ / "dist" / "assets");
    Write("secret", "nobody's business");
    Write("dist/index.html", "<!doctype html>");
    Write("dist/assets/index-1a2b.js", "console.log('long')");
    Write("dist/assets/index-1a2b.js.br", "br of it");
    Write("dist/assets/index-1a2b.js.gz", "gz of it");
  }
  ~Page() { fs::remove_all(dir_); }

  Result<StaticFiles> Load(const std::string& mqtt_ws = "") const {
    return StaticFiles::Load(dir_ / "dist", mqtt_ws);
  }
  void Remove(const std::string& name) const { fs::remove(dir_ / name); }

 private:
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
  }

  const fs::path dir_;
};

HttpResponse Get(const StaticFiles& files, const std::string& target,
                 std::map<std::string, std::string> headers = {}) {
  return files.Answer({"GET", target, std::move(headers), {}, {}});
}

TEST_CASE("the page is served with its types and a policy that lets no other script run") {
  Page page;
  auto files = page.Load("wss://chat.example:9001/mqtt");
  REQUIRE(files);
  HttpResponse index = Get(*files, "/");
  CHECK(index.status == 200);
  CHECK(*index.body == "<!doctype html>");
  CHECK(HeaderOf(index, "Content-Type") == "text/html; charset=utf-8");
  CHECK(HeaderOf(index, "X-Content-Type-Options") == "nosniff");
  const std::string policy = HeaderOf(index, "Content-Security-Policy");
  CHECK(policy.find("script-src 'self';") != policy.npos);
  CHECK(policy.find("connect-src 'self' wss://chat.example:9001;") != policy.npos);
  CHECK(policy.find("unsafe") == policy.npos);
  CHECK(HeaderOf(Get(*files, "/assets/index-1a2b.js"), "Content-Type")
            .starts_with("text/javascript"));
}

TEST_CASE("who takes a compressed form gets it, the smaller one first") {
  Page page;
  auto files = page.Load();
  const std::string script = "/assets/index-1a2b.js";
  auto got = [&](const char* accepts) {
    HttpResponse response = Get(*files, script, {{"accept-encoding", accepts}});
    CHECK(HeaderOf(response, "Vary") == "Accept-Encoding");
    CHECK(HeaderOf(response, "Content-Type").starts_with("text/javascript"));
    return HeaderOf(response, "Content-Encoding") + "|" + *response.body;
  };
  CHECK(got("gzip, deflate, br") == "br|br of it");
  CHECK(got("gzip;q=0.5") == "gzip|gz of it");
  CHECK(got("br;q=0, gzip;q=0.0") == "|console.log('long')");
  CHECK(got("") == "|console.log('long')");
}

TEST_CASE("what a browser has it isn't sent again, unless in another form") {
  Page page;
  auto files = page.Load();
  const std::string plain = HeaderOf(Get(*files, "/assets/index-1a2b.js"), "ETag");
  HttpResponse again = Get(*files, "/assets/index-1a2b.js", {{"if-none-match", plain}});
  CHECK(again.status == 304);
  CHECK(again.body == nullptr);
  CHECK(Get(*files, "/assets/index-1a2b.js", {{"if-none-match", plain}, {"accept-encoding", "br"}})
            .status == 200);
  CHECK(HeaderOf(Get(*files, "/"), "Cache-Control") == "no-cache");
  CHECK(HeaderOf(again, "Cache-Control").find("immutable") != std::string::npos);
}

TEST_CASE("no path leads out of the directory") {
  Page page;
  auto files = page.Load();
  for (const char* path :
       {"/../secret", "/%2e%2e/secret", "/assets/../../secret", "//secret", "secret",
        "/assets/%2e%2e%2f%2e%2e%2fsecret", "/index.html%00", "/%zz", ""}) {
    CAPTURE(path);
    HttpResponse response = Get(*files, path);
    CHECK(response.status == 404);
    CHECK(HeaderOf(response, "Content-Type") == "application/problem+json");
  }
}

TEST_CASE("a page that isn't there, or a URL that is none, is said at the start") {
  Page page;
  CHECK(page.Load("http://chat.example").error().code() == Code::kBadRequest);
  CHECK(page.Load("ws://chat.example; script-src *").error().code() == Code::kBadRequest);
  page.Remove("dist/index.html");
  CHECK(page.Load().error().code() == Code::kNotFound);
  CHECK(StaticFiles::Load("/nonexistent", "").error().code() == Code::kNotFound);
}

}  // namespace
}  // namespace parley::gateway
