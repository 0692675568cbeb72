// bench_sign: writes request bodies, signed with a key of the measurement's own, one a line.
//
//   bench_sign --key PRIVATE.pem --url URL --shape flat|wrapped --covers full|url --count N --bytes B
//
// The reqnums grow by one from body to body. With more than one thread for those that sign each body anew: a
// signature costs some 0.7 ms.
#include <cstdio>
#include <thread>
#include <vector>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "tests/stand_ins/route_signer.hpp"

namespace {

using cppworker::stand_ins::RouteSigner;
using cppworker::stand_ins::signed_text;
using nlohmann::ordered_json;

struct Wanted {
  std::string key, url, shape = "wrapped", covers = "url";
  std::size_t from = 1, count = 1, bytes = 1700;
};

// A prompt: words, quotes and line ends, as prompts have them.
std::string prompt_of(std::size_t bytes) {
  constexpr std::string_view kText =
      "The harbour lay still in the morning light. \"Is the boat ready?\" he asked.\n";
  std::string prompt;
  while (prompt.size() < bytes) prompt += kText;
  prompt.resize(bytes);
  return prompt;
}

std::string body_of(const Wanted& wanted, const RouteSigner& signer, std::size_t reqnum) {
  bool only_url = wanted.covers == "url";
  ordered_json auth = {{"cost", 256}, {"endpoint", "my-endpoint"}, {"reqnum", reqnum}, {"url", wanted.url}};
  // The url-only signature is the same for every request.
  static const std::string of_url = signer.sign(signed_text(auth, true));
  auth["signature"] = only_url ? of_url : signer.sign(signed_text(auth, false));

  ordered_json payload = {{"inputs", ""}, {"parameters", {{"max_new_tokens", 128}, {"temperature", 0.7}}}};
  ordered_json body = wanted.shape == "flat" ? payload : ordered_json{{"auth_data", auth}};
  if (wanted.shape == "flat") {
    body.update(auth);
  } else {
    body["session_id"] = nullptr;
    body["payload"] = payload;
  }
  ordered_json& inputs = wanted.shape == "flat" ? body["inputs"] : body["payload"]["inputs"];
  std::size_t others = body.dump().size();
  if (others < wanted.bytes) inputs = prompt_of(wanted.bytes - others);
  return body.dump();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App cli("bench_sign: signed request bodies, one a line");
  Wanted wanted;
  cli.add_option("--key", wanted.key, "Private key, PEM")->required();
  cli.add_option("--url", wanted.url, "The worker's own URL")->required();
  cli.add_option("--shape", wanted.shape)->check(CLI::IsMember({"flat", "wrapped"}));
  cli.add_option("--covers", wanted.covers)->check(CLI::IsMember({"full", "url"}));
  cli.add_option("--from", wanted.from, "First reqnum");
  cli.add_option("--count", wanted.count);
  cli.add_option("--bytes", wanted.bytes, "Length of each body, about");
  CLI11_PARSE(cli, argc, argv);
  try {
    RouteSigner signer(wanted.key);
    std::vector<std::string> bodies(wanted.count);
    bodies[0] = body_of(wanted, signer, wanted.from);
    std::size_t threads = std::thread::hardware_concurrency();
    std::vector<std::jthread> running;
    for (std::size_t first = 0; first < threads; ++first)
      running.emplace_back([&, first] {
        for (std::size_t i = first; i < bodies.size(); i += threads)
          bodies[i] = body_of(wanted, signer, wanted.from + i);
      });
    running.clear();
    for (const std::string& body : bodies) std::puts(body.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_sign: %s\n", error.what());
    return 1;
  }
}
