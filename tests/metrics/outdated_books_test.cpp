// A stopped process holds the ledger's lock: the exposition goes on with the figures of the time before,
// which looked as fresh as any.
#include <gmock/gmock.h>

#include "metrics/exposition.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;

TEST(OutdatedBooks, AreExposedAsWhatTheyAre) {
  LedgerSnapshot books;
  EXPECT_THAT(exposition_text(ledger_families(books)), HasSubstr("\ncppworker_ledger_outdated 0\n"));
  books.outdated = true;
  EXPECT_THAT(exposition_text(ledger_families(books)), HasSubstr("\ncppworker_ledger_outdated 1\n"));
}

}  // namespace
}  // namespace cppworker
