// Runs a fuzz target without libFuzzer: over every file of its corpus, and over a fixed number of mutations
// of them. The same inputs on every machine and every day, so that a failure can be looked into.
//
//   envelope_fuzz_test tests/fuzz/corpus/envelope 20000     corpus folder (or one file), number of mutations
//
// An input that ends the process is left behind as crash-input in the working directory; run that file alone.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

namespace fs = std::filesystem;

// What parsers trip over, put in at random places.
constexpr std::string_view kTroublesome[] = {"\r\n",
                                             "\n",
                                             "\r",
                                             " ",
                                             "\t",
                                             std::string_view("\0", 1),
                                             "\"",
                                             "\\",
                                             "\\u0000",
                                             "\\ud800",
                                             "{",
                                             "}",
                                             "[",
                                             "]",
                                             ",",
                                             ":",
                                             "-0",
                                             "e9",
                                             "1e400",
                                             "\xff",
                                             "\xc3",
                                             "%00",
                                             "%",
                                             "&",
                                             "=",
                                             ";",
                                             "0x",
                                             "\x81\x80",
                                             "99999999999999999999",
                                             "null",
                                             "\xe2\x80\xa8"};
constexpr std::size_t kLongestInput = 8192;

std::string_view current;

// Only what may be called in a signal handler.
void keep_current(int signal) {
  int fd = ::open("crash-input", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd >= 0 && ::write(fd, current.data(), current.size()) < 0) ::_exit(1);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void run(const std::string& input) {
  current = input;
  check_input(input);
}

std::vector<std::string> read_corpus(const fs::path& path) {
  std::vector<fs::path> files;
  if (fs::is_directory(path))
    for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  else
    files.push_back(path);
  std::sort(files.begin(), files.end());
  std::vector<std::string> inputs;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return inputs;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& corpus) : corpus_(corpus) {}

  std::string next() {
    std::string input = corpus_[below(corpus_.size())];
    for (std::size_t changes = 1 + below(6); changes > 0; --changes) change(input);
    if (input.size() > kLongestInput) input.resize(kLongestInput);
    return input;
  }

 private:
  // Not by std::uniform_int_distribution, whose numbers are each library's own.
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void change(std::string& input) {
    std::size_t at = below(input.size() + 1);
    std::size_t some = 1 + below(std::min<std::size_t>(input.size() - at, 32));
    switch (below(7)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(below(256));
        break;
      case 2:
        input.erase(at, some);
        break;
      case 3:
        input.insert(at, kTroublesome[below(std::size(kTroublesome))]);
        break;
      case 4:
        input.insert(below(input.size() + 1), input.substr(at, some));
        break;
      case 5: {  // the end of another input
        const std::string& other = corpus_[below(corpus_.size())];
        input.resize(at);
        input += other.substr(below(other.size() + 1));
        break;
      }
      default:
        input.insert(at, some, static_cast<char>(below(256)));
    }
  }

  const std::vector<std::string>& corpus_;
  std::mt19937_64 random_{1};
};

}  // namespace
}  // namespace cppworker::fuzz

int main(int argc, char** argv) {
  using namespace cppworker::fuzz;
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS [MUTATIONS]\n", argv[0]);
    return 64;
  }
  for (int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL, SIGTERM}) ::signal(signal, keep_current);
  std::vector<std::string> corpus = read_corpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "no corpus in %s\n", argv[1]);
    return 1;
  }
  for (const std::string& input : corpus) run(input);
  Mutator mutator(corpus);
  long mutations = argc > 2 ? std::atol(argv[2]) : 0;
  for (long i = 0; i < mutations; ++i) run(mutator.next());
  std::printf("%zu inputs and %ld mutations of them\n", corpus.size(), mutations);
}
