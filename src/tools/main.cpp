#include <iostream>

#include "tools/dispatch.h"

int main(int argc, char** argv) {
  return mach::tools::dispatch(mach::tools::commands(), argc, argv, std::cout, std::cerr);
}
