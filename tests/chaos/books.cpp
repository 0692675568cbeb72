#include "books.hpp"

#include <cmath>

namespace cppworker::chaos {
namespace {

using nlohmann::json;

std::int64_t milli(const json& work) {
  return std::llround(work.get<double>() * 1000);
}

void compare(std::vector<std::string>& wrong, const std::string& what, std::int64_t ours,
             std::int64_t theirs) {
  if (ours != theirs)
    wrong.push_back(what + ": " + std::to_string(ours) + " and " + std::to_string(theirs) +
                    " thousandths of a unit");
}

bool agree(const Books& ours, const Heard& heard) {
  return heard.new_load == ours.received - ours.rejected - ours.cancelled &&
         heard.rejected == ours.rejected && heard.served == ours.served;
}

}  // namespace

Books books_of(const json& status) {
  const json& books = status.at("books");
  const auto work = [&](const char* name) { return milli(books.at(name).at("work")); };
  return {work("received"),  work("served"),   work("errored"),
          work("cancelled"), work("rejected"), work("in_flight")};
}

Heard sum_of(const json& reports) {
  Heard heard;
  for (const json& report : reports) {
    heard.new_load += milli(report.at("new_load"));
    heard.rejected += milli(report.at("rej_load"));
    heard.served += milli(report.at("cur_perf"));
  }
  return heard;
}

std::vector<std::string> check_books(World& world) {
  Books ours;
  Heard heard;
  // The last answers are with their clients an instant before they are in the books, and reported within ten
  // seconds.
  eventually([&] {
    const json status = world.status();
    if (status.is_null()) return false;
    ours = books_of(status);
    heard = sum_of(world.autoscaler.reports());
    return ours.in_flight == 0 && agree(ours, heard);
  });
  std::vector<std::string> wrong;
  compare(wrong, "in flight, though nobody asks any more", ours.in_flight, 0);
  compare(wrong, "received, and what became of it", ours.received,
          ours.served + ours.errored + ours.cancelled + ours.rejected + ours.in_flight);
  compare(wrong, "received less rejected and cancelled, and what the autoscaler heard of it",
          ours.received - ours.rejected - ours.cancelled, heard.new_load);
  compare(wrong, "rejected, and what the autoscaler heard of it", ours.rejected, heard.rejected);
  compare(wrong, "served, and what the autoscaler heard of it", ours.served, heard.served);
  if (ours.received == 0) wrong.push_back("nothing was received: this run proves nothing");
  return wrong;
}

}  // namespace cppworker::chaos
