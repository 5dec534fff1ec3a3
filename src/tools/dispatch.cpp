#include "tools/dispatch.h"

#include <algorithm>
#include <exception>
#include <new>
#include <ostream>
#include <string>
#include <vector>

#include "mach/error.h"

namespace mach::tools {
namespace {

constexpr std::string_view kLinkPrefix = "mach-";

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

const Command* find_command(std::span<const Command> rows, std::string_view name) {
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const Command& c) { return c.name == name; });
  return row == rows.end() ? nullptr : &*row;
}

// Levenshtein distance; names are short.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

void print_help(std::span<const Command> rows, std::ostream& out) {
  out << "mach runs Mixture-of-Experts language models that are larger than memory.\n\n"
         "Usage:\n"
         "  mach COMMAND [ARGS...]\n"
         "  mach COMMAND --help      what a command does, its options, examples\n"
         "  mach --help | --version\n\n"
         "Commands:\n";
  size_t width = 0;
  for (const Command& row : rows) width = std::max(width, row.name.size());
  for (const Command& row : rows) {
    out << "  " << row.name << std::string(width - row.name.size() + 3, ' ') << row.summary << '\n';
  }
  out << "\nExit status: 0 on success, 2 when the command line is wrong, and one status per kind of "
         "error:\n ";
  for (const ErrorRow& row : error_rows()) out << ' ' << row.exit_code << '=' << row.name;
  out << '\n';
}

int fail(std::ostream& err, std::string_view shown_name, ErrorCode code, std::string_view message) {
  err << shown_name << ": error: " << message << '\n';
  return error_row(code).exit_code;
}

int run_command(const Command& row, std::string shown_name, std::vector<char*> args, std::ostream& err) {
  args.insert(args.begin(), shown_name.data());
  const int count = static_cast<int>(args.size());
  args.push_back(nullptr);  // as main() promises
  try {
    return row.run(count, args.data());
  } catch (const Error& e) {
    return fail(err, shown_name, e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return fail(err, shown_name, ErrorCode::kOutOfBudget, "out of memory");
  } catch (const std::exception& e) {
    return fail(err, shown_name, ErrorCode::kInternal, e.what());
  }
}

int unknown_command(std::span<const Command> rows, std::string_view name, std::ostream& err) {
  std::string message = "unknown command '" + std::string(name) + "'";
  if (const Command* near = nearest_command(rows, name))
    message += ", did you mean '" + std::string(near->name) + "'?";
  return fail(err, "mach", ErrorCode::kUsage, message + " (mach --help lists them)");
}

int choose(std::span<const Command> rows, std::vector<char*> args, std::ostream& out, std::ostream& err) {
  const std::string_view program = args.empty() ? "mach" : base_name(args.front());
  if (!args.empty()) args.erase(args.begin());

  if (program.starts_with(kLinkPrefix)) {
    const std::string_view name = program.substr(kLinkPrefix.size());
    const Command* row = find_command(rows, name);
    return row ? run_command(*row, std::string(program), args, err) : unknown_command(rows, name, err);
  }
  if (args.empty()) {
    print_help(rows, err);
    return error_row(ErrorCode::kUsage).exit_code;
  }

  std::string_view word = args.front();
  args.erase(args.begin());
  if (word == "--version" || word == "-V") {
    out << "mach " << MACH_VERSION << '\n';
    return 0;
  }
  if (word == "--help" || word == "-h" || (word == "help" && args.empty())) {
    print_help(rows, out);
    return 0;
  }
  std::string help_flag = "--help";
  if (word == "help") {
    word = args.front();
    args = {help_flag.data()};
  }
  const Command* row = find_command(rows, word);
  return row ? run_command(*row, "mach " + std::string(word), args, err) : unknown_command(rows, word, err);
}

}  // namespace

const Command* nearest_command(std::span<const Command> rows, std::string_view name) {
  const Command* best = nullptr;
  size_t best_distance = name.size() / 3 + 2;  // a name of n letters may be off by about n/3 + 1
  for (const Command& row : rows) {
    const bool prefix = name.size() >= 2 && row.name.starts_with(name);
    const size_t distance = prefix ? 0 : edit_distance(name, row.name);
    if (distance < best_distance) {
      best = &row;
      best_distance = distance;
    }
  }
  return best;
}

int dispatch(std::span<const Command> rows, int argc, char** argv, std::ostream& out,
             std::ostream& err) noexcept {
  try {
    const int status = choose(rows, std::vector<char*>(argv, argv + std::max(argc, 0)), out, err);
    out.flush();
    if (status == 0 && !out) return fail(err, "mach", ErrorCode::kIo, "cannot write to standard output");
    return status;
  } catch (...) {  // only our own bookkeeping is left: no memory for a vector or a string
    return error_row(ErrorCode::kInternal).exit_code;
  }
}

}  // namespace mach::tools
